"""From a tokenized prompt to what the transformer reads of it, once per prompt."""

from typing import NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Int

from avits_jax.generators.ltx2.conditioning import Given
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.modeling import Context
from avits_jax.generators.ltx2.transformer.rotary import Tables
from avits_jax.types import PyTree


class Prompt(NamedTuple):
    """A prompt, and a negative one: what ``Generator.prepare`` takes.

    Attributes:
        text: Gemma-3's token ids ``[P, L]``, padded at the start, or the contexts made
            of them before, `Streams` of ``[P, L, D]``; the text encoder's weights are
            not needed then. The negative prompt, if any, is the second one.
        lengths: ``[P]`` ids without padding.
        given: pictures or sound that are given, or None.
    """

    text: Int[Array, "P L"] | Streams
    lengths: Int[Array, " P"]
    given: Given | None = None


class Condition(NamedTuple):
    """What a prompt fixes for all candidates and steps.

    Attributes:
        context: of the texts that the branches read.
        tables: of the positions of tokens.
        given: pictures or sound that are given, or None.
    """

    context: Context
    tables: Tables
    given: Given | None = None


def with_contexts(
    params_text: PyTree, graphs: Networks, cond: Prompt, num_texts: int
) -> Prompt:
    """Return the prompt with contexts in the place of ids; with contexts, itself.

    Args:
        params_text: weights of the text encoder; ``()`` for contexts.
        graphs: static graphs of the networks.
        cond: the prompt.
        num_texts: how many texts are read: 1 leaves the negative one out.

    Raises:
        ValueError: token ids were given, but no weights of the text encoder; or there
            are too few texts.
    """
    texts = jax.tree.leaves(cond.text)[0]
    if len(texts) < num_texts:
        raise ValueError(
            f"cond has {len(texts)} texts, expected {num_texts}: guidance by text "
            "needs a negative prompt"
        )
    text, lengths = jax.tree.map(lambda x: x[:num_texts], (cond.text, cond.lengths))
    if isinstance(text, Streams):
        return cond._replace(text=text, lengths=lengths)
    if not jax.tree.leaves(params_text):
        raise ValueError(
            "cond.text holds token ids, but there are no weights of the text encoder "
            "(params.text is empty); give its contexts, or load it"
        )
    contexts = nnx.merge(graphs.text, params_text)(text, lengths)
    return cond._replace(text=contexts, lengths=lengths)
