"""Captions for language models, and clips with broken numbers."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.verifiers.failures import broken, failed_as_nan
from avits_jax.verifiers.texts import pad_end, shorten


def tokenize(text):
    """Two tokens per character, and one at the end."""
    return [*(ord(letter) for letter in text for _ in range(2)), 1]


def test_long_captions_lose_their_end_with_a_warning():
    with pytest.warns(UserWarning, match=r"judge reads at most 9 tokens.* of 53 tok"):
        kept = shorten("abcdefghijklmnopqrstuvwxyz", tokenize, "judge", 9)
    assert "abcdefgh".startswith(kept) and 1 <= len(kept) <= 4


def test_short_captions_stay_as_they_are():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shorten("abcd", tokenize, "judge", 9) == "abcd"
        assert shorten("", tokenize, "judge", 9) == ""


@pytest.mark.parametrize(("count", "length"), [(1, 4), (4, 4), (5, 8)])
def test_padding_is_at_the_end(count, length):
    padded = pad_end([7] * count, 4, 9)
    assert padded.dtype == np.int32
    np.testing.assert_array_equal(padded, [7] * count + [9] * (length - count))


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_broken_value_anywhere_blanks_its_clip(bad):
    video = jnp.zeros((3, 4, 2, 2, 3)).at[1, 3, 0, 1, 2].set(bad)
    found = failed_as_nan(jnp.ones((3, 2)), broken(video))
    np.testing.assert_array_equal(np.isnan(found), [[0, 0], [1, 1], [0, 0]])
    flat = failed_as_nan(jnp.ones(3), broken(video))
    np.testing.assert_array_equal(flat[::2], [1, 1])
