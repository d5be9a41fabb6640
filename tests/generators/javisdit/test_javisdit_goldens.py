"""JavisDiT's networks, noise levels, trajectories and sizes against the original."""

import pytest
from goldens import assert_golden, golden_cases


@pytest.mark.parametrize("golden", golden_cases("javisdit"))
def test_golden(golden):
    assert_golden(golden)
