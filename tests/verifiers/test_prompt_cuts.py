"""Verifiers that cut a prompt say so."""

import warnings

import numpy as np
import pytest

from avits_jax import verifiers
from avits_jax.text.prompt import encode_prompt
from avits_jax.verifiers.clap.config import TextConfig
from avits_jax.verifiers.clap.verifier import text_encoder


def test_imagebind_says_that_it_reads_77_tokens():
    (made,), _ = verifiers.load(["ta_ib@tiny"], fps=8.0, sample_rate=16_000)
    with pytest.warns(
        UserWarning, match="ImageBind reads at most 77 tokens .* has 482"
    ):
        cut = made.encode("a dog barks at the sea and " * 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = made.encode("a dog barks at the sea")
    assert np.shape(cut) == np.shape(whole) == (77,)


def test_clap_says_that_it_reads_512_tokens():
    encode = text_encoder(lambda text: [0, *map(ord, text), 2], TextConfig())
    with pytest.warns(UserWarning, match="CLAP reads at most 512 tokens .* has 602"):
        ids, _ = encode("a" * 600)
    assert ids[-1] == 2 and len(ids) == 512


def test_lone_surrogates_are_no_prompt(toy):
    with pytest.raises(ValueError, match="surrogates not allowed"):
        encode_prompt("\ud800", toy.generator, toy.verifiers)
