"""JavisDiT's networks, noise levels, trajectories and sizes against the original."""

import pytest
from goldens import assert_golden, golden_cases

CASES = [
    case
    for case in golden_cases("javisdit")
    # Run by the generator itself, in its own tests.
    if case.id != "sample4_n1"
]


@pytest.mark.parametrize("golden", CASES)
def test_golden(golden):
    assert_golden(golden)
