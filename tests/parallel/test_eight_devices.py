"""Runs *on_eight_devices.py where there are eight devices."""

from pathlib import Path

import pytest
from many_devices import pass_on_eight

FILES = sorted(Path(__file__).parent.glob("*on_eight_devices.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_on_eight_virtual_devices(file):
    pass_on_eight(file)


@pytest.mark.slow  # compiles mini's search eleven times: minutes
def test_mini_grows_as_it_should():
    pass_on_eight(Path(__file__).parent / "growth_on_eight_devices.py", "-m", "slow")
