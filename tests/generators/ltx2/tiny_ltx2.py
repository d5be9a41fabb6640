"""The reduced LTX-2.3 with random weights, and two verifiers that look and listen."""

import functools
import warnings

import jax
import jax.numpy as jnp

from avits_jax.generators.ltx2 import load
from avits_jax.generators.ltx2.condition import Condition, Prompt
from avits_jax.generators.ltx2.config import Networks
from avits_jax.text.cuts import PromptCut
from avits_jax.types import Generator, Verifier
from avits_jax.weights.model import read_parts
from avits_jax.weights.network import Weights
from tools.parity.modules import QUICK

jit = functools.partial(jax.jit, compiler_options=QUICK)
PROMPTS = ("a dog barks", "rain on a roof, thunder")


@functools.cache
def params() -> Networks:
    """Weights of all networks."""
    return read_parts(load.MODEL, Weights(None, "float32"), load.MODEL.reduced)


@functools.cache
def tiny(**options) -> Generator:
    """The generator for clips of 9 frames of 32 x 64 pixels, in two steps."""
    usual = {"resolution": "32x64", "duration": 9, "num_steps": 2}
    asked = load.Options(**(usual | options))
    return load.make(load.MODEL.reduced, None, asked, reduced=True)


@functools.cache
def prompt(index: int = 0) -> Prompt:
    """A tokenized prompt."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptCut)
        return tiny().encode(PROMPTS[index])


@functools.cache
def states(index: int = 0) -> Prompt:
    """A prompt with contexts in the place of ids."""
    return _text(params().text, prompt(index))


@functools.cache
def condition(index: int = 0) -> Condition:
    """A prepared prompt."""
    return _prepare(params(), states(index))


_text = jit(lambda weights, cond: tiny().text(weights, cond))
_prepare = jit(lambda weights, cond: tiny().prepare(weights, cond))


def keys(count: int):
    """Keys of candidates."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(3), jnp.arange(count))


VERIFIERS = (
    Verifier("bright", lambda params, media, cond: media.video.mean((1, 2, 3, 4))),
    Verifier("loud", lambda params, media, cond: jnp.abs(media.audio).mean((1, 2))),
)
