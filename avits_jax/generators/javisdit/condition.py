"""From a tokenized prompt to what the transformer reads of it, once per prompt."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.generators.javisdit import guidance
from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.modeling import TextContext
from avits_jax.nn.gaussian import Gaussian
from avits_jax.sampling.guidance import repeat_rows
from avits_jax.sampling.masks import Given
from avits_jax.types import PyTree


class EncodedPrompt(NamedTuple):
    """A prompt as both text encoders read it: what ``Generator.prepare`` takes.

    Attributes:
        text: T5 token ids ``[L]``, or states ``[L, E]`` made before by `text_states`;
            T5's weights are not needed then.
        text_mask: ``[L]`` True for tokens of the prompt, its end token among them;
            they stand in front, padding behind them.
        prior_ids: ImageBind token ids ``[K]``: start, words, end, zeros.
        given: frames or sound that are given, or None.
    """

    text: Int[Array, " L"] | Float[Array, "L E"]
    text_mask: Bool[Array, " L"]
    prior_ids: Int[Array, " K"]
    given: Given | None = None


class Condition(NamedTuple):
    """What a prompt fixes for all candidates and steps.

    Attributes:
        text: keys and values of the prompt and of the null text, two rows.
        text_mask: ``[2, L]``.
        prior: distribution of the prior tokens, ``[Ns + Nt, D]``.
        given: frames or sound that are given, or None.
    """

    text: TextContext
    text_mask: Bool[Array, "2 L"]
    prior: Gaussian
    given: Given | None = None


def text_states(
    params_t5: PyTree,
    graphs: Networks,
    ids: Int[Array, " L"],
    mask: Bool[Array, " L"],
) -> Float[Array, "L E"]:
    """Return T5's last hidden states of a prompt, in the dtype of its weights.

    Args:
        params_t5: weights of T5.
        graphs: static graphs of the networks.
        ids: token ids, padded.
        mask: True for tokens of the prompt.
    """
    return nnx.merge(graphs.t5, params_t5)(ids[None], mask[None])[0]


def make_condition(
    params: Networks,
    graphs: Networks,
    text: Float[Array, "L E"],
    text_mask: Bool[Array, " L"],
    prior_ids: Int[Array, " K"],
    given: Given | None = None,
) -> Condition:
    """Prepare a prompt of known T5 states once for all candidates and steps.

    Args:
        params: weights of all networks.
        graphs: their static graphs, from `networks`.
        text: T5 states of the prompt.
        text_mask: True for tokens of the prompt.
        prior_ids: ImageBind token ids of the prompt.
        given: frames or sound that are given.
    """
    transformer = nnx.merge(graphs.transformer, params.transformer)
    prior = nnx.merge(graphs.prior, params.prior)(prior_ids[None])
    return Condition(
        transformer.prepare_text(guidance.paired_text(transformer, text[None])),
        repeat_rows(text_mask[None], 2),
        jax.tree.map(lambda moment: moment[0].astype(jnp.float32), prior),
        given,
    )


def with_states(
    params_t5: PyTree, graphs: Networks, cond: EncodedPrompt
) -> EncodedPrompt:
    """Return the prompt with T5's states in the place of its ids; with states, itself.

    Args:
        params_t5: weights of T5; ``()`` for states.
        graphs: static graphs of the networks.
        cond: the prompt.

    Raises:
        ValueError: token ids were given, but no weights of T5.
    """
    if not jnp.issubdtype(cond.text.dtype, jnp.integer):
        return cond
    if not jax.tree.leaves(params_t5):
        raise ValueError(
            "cond.text holds token ids, but there are no weights of T5 (params.t5 is "
            "empty); give T5 states, or load T5"
        )
    return cond._replace(text=text_states(params_t5, graphs, cond.text, cond.text_mask))


def prepare(params: Networks, graphs: Networks, cond: EncodedPrompt) -> Condition:
    """Run both text encoders and make what the denoising steps read.

    Args:
        params: weights of all networks; ``t5`` may be ``()`` for states.
        graphs: their static graphs.
        cond: the prompt.

    Raises:
        ValueError: see `with_states`.
    """
    return make_condition(params, graphs, *with_states(params.t5, graphs, cond))
