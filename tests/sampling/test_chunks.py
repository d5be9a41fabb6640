"""Sizes of pieces."""

import pytest

from avits_jax.sampling.chunks import even_batch, whole_batch


@pytest.mark.parametrize(
    ("count", "most", "even", "whole"),
    [
        (10, 4, 4, 4),
        (68, 8, 8, 8),
        (51, 4, 4, 3),
        (9, 8, 5, 8),
        (3, 8, 3, 3),
        (6, 4, 3, 3),
    ],
)
def test_pieces_are_even_or_whole(count, most, even, whole):
    """51 = 17 times 3, 6 = 2 times 3; no divisor of 10 lies in 3..4, so 4 it is."""
    assert even_batch(count, most) == even
    assert whole_batch(count, most) == whole
