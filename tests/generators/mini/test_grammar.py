"""Prompts: what mini understands, and what it says of the rest."""

import itertools

import numpy as np
import pytest

from avits_jax.mini_world import grammar


def test_paraphrases_mean_what_they_say():
    rng = np.random.default_rng(0)
    every = itertools.product(range(5), range(3), range(1, 5), range(4))
    for values in every:
        attributes = grammar.Attributes(*values)
        assert grammar.parse(grammar.paraphrase(attributes, rng)) == attributes


def test_examples_parse_and_tokenize():
    for example in grammar.EXAMPLES:
        grammar.parse(example)
        words = grammar.tokenize(example)
        assert words.shape == (24,) and words.dtype == np.int32
        assert words.max() < len(grammar.WORDS)


def test_case_and_punctuation_do_not_matter():
    assert grammar.parse("A RED circle, bounces: twice (with a bell)!") == (0, 0, 2, 0)


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("", "empty"),
        ("  ...  ", "empty"),
        ("a zebra plays a harp", "zebra, plays, harp"),
        ("a red circle bounces twice", "lacks a sound"),
        ("a red blue circle bounces twice with a bell", "two different colors"),
        ("ein roter Ball hüpft zweimal", "does not know"),
        ("a red circle " * 2000, "words"),
    ],
)
def test_prompts_outside_the_grammar(prompt, why):
    with pytest.raises(ValueError, match=why) as caught:
        grammar.parse(prompt)
    message = str(caught.value)
    assert all(example in message for example in grammar.EXAMPLES)
    assert len(message) < 1200


def test_vocabulary_is_what_the_weights_were_trained_with():
    """Word ids are part of the weights: a change here needs a new training."""
    assert len(grammar.WORDS) == 95
    assert grammar.WORDS[:4] == ("", "red", "crimson", "scarlet")
    assert grammar.WORDS.index("bell") == 32
