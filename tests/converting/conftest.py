"""Files as they are published."""

import pytest


@pytest.fixture
def javisdit_case(tmp_path):
    """Folder with all parts of JavisDiT, tiny; sizes; state dicts."""
    from javisdit_files import write_downloads

    source = tmp_path / "downloads"
    return source, *write_downloads(source)
