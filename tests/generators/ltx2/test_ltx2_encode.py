"""LTX-2's prompts to ids, and what is cut of prompts that are too long."""

import warnings

import jax.numpy as jnp
import pytest

from avits_jax.generators.ltx2.encode import NEGATIVE_PROMPT, PromptCut, PromptEncoder
from avits_jax.text import tokenizers

BOS = 2


def words_to_ids(text):
    """The start token and one id per word."""
    return [BOS, *(10 + len(word) for word in text.split())]


encode = PromptEncoder(words_to_ids, negative=" noise ", length=6)


def test_both_texts_fill_the_end_of_a_row():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prompt = encode("  a dog\n")
    assert prompt.ids.tolist() == [[0, 0, 0, BOS, 11, 13], [0, 0, 0, 0, BOS, 15]]
    assert prompt.lengths.tolist() == [3, 2]
    assert prompt.ids.dtype == prompt.lengths.dtype == jnp.int32
    seen = []
    PromptEncoder(lambda text: seen.append(text) or [BOS], length=2)(" a dog\n")
    assert set(seen) == {"a dog", NEGATIVE_PROMPT}


def test_an_empty_negative_prompt_is_its_start_token():
    prompt = PromptEncoder(words_to_ids, negative="", length=4, pad_token=1)("a dog")
    assert prompt.ids.tolist() == [[1, BOS, 11, 13], [1, 1, 1, BOS]]


def test_what_is_cut_is_said_and_the_beginning_is_read():
    long = "one two three four five six seven"
    with pytest.warns(PromptCut) as caught:
        prompt = encode(long)
    (line,) = [str(warning.message) for warning in caught]
    assert encode.cuts(long) == [line]
    assert line.startswith("the prompt has 8 Gemma tokens, of which 6 are read; ")
    assert line.endswith("cut off: 'six seven' (2 words)")
    assert prompt.ids[0].tolist() == words_to_ids(long)[:6]
    assert prompt.lengths.tolist() == [6, 2]
    (line,) = PromptEncoder(words_to_ids, length=9).cuts("a dog")
    assert line.startswith("the negative prompt has ")


def test_what_is_cut_is_said_briefly_of_a_text_without_spaces():
    characters = PromptEncoder(lambda text: [BOS, *map(ord, text)], "", length=6)
    (line,) = characters.cuts("犬" * 3000)
    assert "has 3001 Gemma tokens" in line and " ... 犬" in line and len(line) < 350


def test_the_default_negative_prompt_fits_with_room():
    tokenize = tokenizers.dummy("gemma3", 262_208)
    assert not PromptEncoder(tokenize).cuts("a dog barks")
