"""Encode a prompt on the host, and run a generator's text tower on its own."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from avits_jax.types import Cond, Generator, PyTree, Verifier


def encode_prompt(
    prompt: str, generator: Generator | None, verifiers: Sequence[Verifier]
) -> Cond:
    """Tokenize a prompt for the generator and for each verifier.

    Args:
        prompt: text, not empty.
        generator: a generator; one without ``encode`` gets the condition ``()``, and so
            does None.
        verifiers: verifiers; likewise.

    Returns:
        One encoded prompt, arrays on the default device; stack several, of the same
        shapes, for a vmap.

    Raises:
        ValueError: the prompt is empty or no text, or a tokenizer does not understand
            it.
    """
    if not prompt.strip():
        raise ValueError("prompt is empty; say what to show and to hear")
    prompt.encode("utf-8")  # a lone surrogate, which is no text, is a ValueError

    def encode(part: Generator | Verifier | None):
        return () if part is None or part.encode is None else part.encode(prompt)

    cond = Cond(encode(generator), tuple(encode(verifier) for verifier in verifiers))
    return jax.tree.map(jnp.asarray, cond)


def split_text(generator: Generator, params: PyTree) -> tuple[PyTree, PyTree]:
    """Part a generator's weights: those of its text tower, and all without them.

    Args:
        generator: the generator.
        params: its weights, a NamedTuple or a mapping.

    Returns:
        What ``generator.text`` takes, and what a search takes once a prompt holds
        states; ``()`` and `params` where there is no text tower.
    """
    name = generator.text_part
    if not name:
        return (), params
    if hasattr(params, "_replace"):
        return getattr(params, name), params._replace(**{name: ()})
    return params[name], {**params, name: ()}


def precompute_text(
    generator: Generator, params: PyTree, cond: PyTree
) -> tuple[PyTree, PyTree]:
    """Run the text tower on one prompt, so that a search does without its weights.

    Args:
        generator: the generator.
        params: its weights, a NamedTuple or a mapping.
        cond: the generator's view of one prompt, as its ``encode`` gives it.

    Returns:
        The weights without the text tower, and the prompt with states in the place of
        ids; both as they are where there is no text tower. Every other function of the
        generator gives the same with them.

    Example:
        >>> prompt = avits.encode_prompt("a dog barks", generator, verifiers)
        >>> params, states = precompute_text(generator, params, prompt.generator)
        >>> prompt = prompt._replace(generator=states)
    """
    tower, rest = split_text(generator, params)
    if generator.text is None:
        return rest, cond
    # Compiled once a generator: `jit` remembers the function.
    return rest, jax.jit(generator.text)(tower, cond)
