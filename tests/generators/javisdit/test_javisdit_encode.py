"""Prompts to ids, and what is cut of prompts that are too long."""

import numpy as np
import pytest

from avits_jax.generators.javisdit.encode import PromptCut, PromptEncoder
from avits_jax.text import clip_bpe as imagebind

END = 1


def words_to_ids(text):
    """One id per word, and the end token."""
    return [*(2 + len(word) for word in text.split()), END]


encode = PromptEncoder(words_to_ids, text_length=12, prior_length=16)


def test_ids_are_those_of_the_cleaned_prompt_with_its_suffix():
    prompt = encode("A  DOG barks")
    # a dog barks aesthetic score: 6.5.
    expected = [3, 5, 7, 11, 8, 6, END]
    assert prompt.text.tolist() == expected + [0] * 5
    assert prompt.text_mask.tolist() == [True] * 7 + [False] * 5
    text = "a dog barks aesthetic score: 6.5."
    np.testing.assert_array_equal(prompt.prior_ids, imagebind.encode(text, 16))
    assert prompt.given is None
    assert encode.cuts("A  DOG barks") == []


def test_what_is_cut_is_said_and_the_end_token_stays():
    long = " ".join(f"word{'s' * i}" for i in range(10))
    with pytest.warns(PromptCut) as caught:
        prompt = encode(long)
    lines = [str(warning.message) for warning in caught]
    assert lines == encode.cuts(long) and len(lines) == 2
    # 10 words, 3 of the suffix and the end are 14 tokens; 11 and the end are read.
    assert "14 T5 tokens, of which 12" in lines[0]
    assert "'score: 6.5.' (2 words)" in lines[0]
    assert "ImageBind" in lines[1]
    assert prompt.text.shape == (12,) and prompt.text[-1] == END
    assert prompt.text_mask.all()
    assert prompt.prior_ids[-1] == imagebind.END


def test_long_cuts_are_abridged():
    line = encode.cuts("thunder " * 500)[0]
    assert " ... " in line and len(line) < 250


def _of_length(count, bucket):
    """Encode a prompt of so many T5 tokens, the end among them."""
    made = PromptEncoder(words_to_ids, prior_length=512, aesthetic=None, bucket=bucket)
    return made("rain " * (count - 1))


@pytest.mark.parametrize(
    ("count", "length"),
    [(2, 64), (64, 64), (65, 128), (256, 256), (257, 300), (290, 300), (300, 300)],
)
def test_texts_are_padded_to_whole_buckets(count, length):
    for bucket, padded in ((64, length), (None, 300), (300, 300), (1, count)):
        prompt = _of_length(count, bucket)
        assert prompt.text.shape == prompt.text_mask.shape == (padded,)
        assert prompt.text.tolist() == [6] * (count - 1) + [END] + [0] * (
            padded - count
        )
        assert prompt.text_mask.tolist() == [place < count for place in range(padded)]


def test_a_text_longer_than_all_buckets_is_cut():
    with pytest.warns(PromptCut, match="301 T5 tokens, of which 300 are read"):
        prompt = _of_length(301, 64)
    assert prompt.text.shape == (300,) and prompt.text[-1] == END
    assert prompt.text_mask.all()


@pytest.mark.parametrize("marks", ["!!!! ?", "!"])
def test_the_token_of_id_zero_counts(marks):
    """CLIP's first token is an exclamation mark inside a word."""
    short = PromptEncoder(words_to_ids, prior_length=9, aesthetic=None)
    assert not short.cuts(f"rain {marks}")
