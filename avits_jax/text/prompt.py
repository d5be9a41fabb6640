"""Encode a prompt on the host for a generator and its verifiers."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from avits_jax.types import Cond, Generator, Verifier


def encode_prompt(
    prompt: str, generator: Generator, verifiers: Sequence[Verifier]
) -> Cond:
    """Tokenize a prompt for the generator and for each verifier.

    Args:
        prompt: text, not empty.
        generator: a generator; one without ``encode`` gets the condition ``()``.
        verifiers: verifiers; likewise.

    Returns:
        One encoded prompt, arrays on the default device; stack several for a vmap.

    Raises:
        ValueError: the prompt is empty, or a tokenizer does not understand it.
    """
    if not prompt.strip():
        raise ValueError("prompt is empty; say what to show and to hear")

    def encode(part: Generator | Verifier):
        return () if part.encode is None else part.encode(prompt)

    cond = Cond(encode(generator), tuple(encode(verifier) for verifier in verifiers))
    return jax.tree.map(jnp.asarray, cond)
