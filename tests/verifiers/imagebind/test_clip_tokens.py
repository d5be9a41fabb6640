"""CLIP's byte-pair encoding as ImageBind uses it."""

import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.text.clip_bpe import END, START, clean, encode


@pytest.mark.parametrize("golden", golden_cases("verifiers", "pre_tokens"))
def test_tokens_meet_the_golden(golden):
    assert_golden(golden)


def test_known_ids_of_other_scripts_and_signs():
    # From the public CLIP tokenizer.
    expected = [71, 3459, 19293, 262, 585, 568, 262, 39121, 19277, 361, 3986]
    expected += [261, 343, 272, 273, 274]
    ids = encode("héllo ‘it’s’ 日本 🎉 &amp;amp; x123")
    np.testing.assert_array_equal(ids[: len(expected) + 2], [START, *expected, END])


def test_a_long_text_keeps_its_end():
    text = "dog " * 100
    assert encode(text)[-1] == END
    assert encode(text).argmax() == 76
    assert END not in encode(text, keep_end=False)


def test_text_that_just_fits_is_whole():
    ids = encode("dog " * 75)
    assert ids[-1] == END and (ids[1:-1] == ids[1]).all()
    np.testing.assert_array_equal(ids, encode("dog " * 75, keep_end=False))


def test_names_of_special_tokens_are_plain_text():
    ids = encode("a <|endoftext|> b")
    assert (ids == END).sum() == 1


def test_cleaning():
    assert clean("  Tom &amp;amp; “JERRY”\n\t run ") == 'tom & "jerry" run'


def test_a_length_without_room_is_refused():
    with pytest.raises(ValueError, match="at least 2, got 1"):
        encode("dog", 1)
