"""Guided predictions of JavisDiT, and clips of which some frames are given.

With guidance every sample takes two neighbouring rows of the batch, first with its
prompt, then with the learned null text and null priors.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avits_jax.generators.javisdit.modeling import (
    Context,
    PriorScope,
    Streams,
    Transformer,
    couple_rows,
)
from avits_jax.sampling import masks
from avits_jax.sampling.guidance import (
    combine,
    join_branches,
    repeat_rows,
    shared_branches,
    shares_branches,
    split_branches,
)

MaskUpdate = Literal["mended", "reference"]


class Latents(NamedTuple):
    """Video and audio of the same samples: latents, velocities, noise or masks.

    Attributes:
        video: ``[B, T, H, W, C]``; ``[B, T]`` for masks.
        audio: ``[B, Ta, M, C]``; ``[B, Ta]`` for masks.
    """

    video: Float[Array, "B T ..."]
    audio: Float[Array, "B Ta ..."]


class ClipInfo(NamedTuple):
    """What the transformer is told of the clip.

    Attributes:
        fps: frames per second.
        height: pixels.
        width: pixels.
    """

    fps: float
    height: float
    width: float


def paired_text(
    model: Transformer, text: Float[Array, "R L E"]
) -> Float[Array, "2*R L E"]:
    """Put the null text behind each row of a text, at the same length."""
    null_text = model.null_text[...][: text.shape[1]]
    return join_branches(text, jnp.broadcast_to(null_text, text.shape))


def paired_priors(
    model: Transformer,
    spatial: Float[Array, "B Ns Dp"],
    temporal: Float[Array, "B Nt Dp"],
) -> tuple[Float[Array, "2*B Ns Dp"], Float[Array, "2*B Nt Dp"]]:
    """Put the null priors behind each row of spatial and temporal priors."""
    null_spatial, null_temporal = jnp.split(model.null_prior[...], [spatial.shape[1]])
    return (
        join_branches(spatial, jnp.broadcast_to(null_spatial, spatial.shape)),
        join_branches(temporal, jnp.broadcast_to(null_temporal, temporal.shape)),
    )


def guided_context(
    model: Transformer,
    text: Float[Array, "R L E"],
    text_mask: Bool[Array, "R L"] | None,
    spatial_prior: Float[Array, "B Ns Dp"],
    temporal_prior: Float[Array, "B Nt Dp"],
    prior_scope: PriorScope = "candidate",
) -> Context:
    """Return keys and values of a prompt and of no prompt, for pairs of rows.

    The null text is as long as the prompt: the mask serves both, as in the original.

    Args:
        model: the transformer.
        text: states of the text encoder, one row for all samples or one for each.
        text_mask: True for tokens of the prompt; None for all.
        spatial_prior: spatial prior tokens of each sample.
        temporal_prior: temporal prior tokens of each sample.
        prior_scope: see `couple_rows`.
    """
    priors = model.prepare_priors(*paired_priors(model, spatial_prior, temporal_prior))
    return Context(
        model.prepare_text(paired_text(model, text)),
        repeat_rows(text_mask, 2),
        couple_rows(priors, prior_scope),
    )


def paired_predictions(
    model: Transformer,
    latents: Latents,
    timestep: Float[Array, ""],
    context: Context,
    clip: ClipInfo,
    active: Latents | None = None,
    added: Streams | None = None,
) -> tuple[Latents, Streams]:
    """Return the transformer's raw outputs, two neighbouring rows per sample.

    ``active`` is True for frames at ``timestep`` and False for given ones. See
    `Transformer` for what is ``added``, which is returned, too.
    """
    double, frames = repeat_rows(latents, 2), repeat_rows(active, 2)
    return predictions(model, double, timestep, context, clip, frames, added)


def predictions(
    model: Transformer,
    latents: Latents,
    timestep: Float[Array, ""],
    context: Context,
    clip: ClipInfo,
    frames: Latents | None = None,
    added: Streams | None = None,
) -> tuple[Latents, Streams]:
    """Return the transformer's raw outputs, row by row; see `paired_predictions`."""
    rows = len(latents.video)
    found, added = model(
        latents.video,
        latents.audio,
        jnp.full((rows,), timestep, jnp.float32),
        context,
        fps=jnp.full((rows,), clip.fps, jnp.float32),
        height=clip.height,
        width=clip.width,
        video_mask=None if frames is None else frames.video,
        audio_mask=None if frames is None else frames.audio,
        added=added,
    )
    return Latents(*found), added


def branch_context(
    context: Context, prior_scope: PriorScope, branch: Array | int
) -> Context:
    """Return the context of one row of each pair, of one for pairs of rows.

    Args:
        context: of a candidate's conditional and unconditional row in turn.
        prior_scope: that its priors were coupled with, see `couple_rows`.
        branch: 0 for rows with a prompt, 1 for those without.
    """

    def own(pairs: Array, axis: int) -> Array:
        before, after = pairs.shape[:axis], pairs.shape[axis + 1 :]
        split = pairs.reshape(*before, -1, 2, *after)
        return jax.lax.dynamic_index_in_dim(split, branch, axis + 1, keepdims=False)

    text = jax.tree.map(lambda x: own(x, 1), context.text)
    priors = context.priors
    if prior_scope == "separate":  # else those of a pair are shared
        priors = jax.tree.map(lambda x: own(x, 1), priors)
    mask = None if context.text_mask is None else own(context.text_mask, 0)
    return Context(text, mask, priors)


def shared_predictions(
    model: Transformer,
    latents: Latents,
    timestep: Float[Array, ""],
    context: Context,
    clip: ClipInfo,
    active: Latents | None,
    prior_scope: PriorScope,
) -> Latents:
    """Return `paired_predictions`; where devices share branches, each makes one."""
    if not shares_branches(2):
        return paired_predictions(model, latents, timestep, context, clip, active)[0]

    def one(branch: Array) -> Latents:
        own = branch_context(context, prior_scope, branch)
        return predictions(model, latents, timestep, own, clip, active)[0]

    return shared_branches(one)


def velocities(rows: Latents) -> Latents:
    """Return velocities (data minus noise) from the transformer's raw outputs.

    The second half of their channels is a learned variance left over from training.
    """
    return jax.tree.map(lambda x: x[..., : x.shape[-1] // 2], rows)


def guided_pair(paired: Latents, guidance_scale: float) -> tuple[Latents, Latents]:
    """Return conditional and guided velocities from `paired_predictions`."""
    conditional, unconditional = split_branches(velocities(paired), 2)
    guided = combine(conditional, (unconditional,), (guidance_scale - 1,))
    return conditional, guided


def masked_update(
    settled: Latents,
    entered: Latents,
    velocities: Latents,
    active: Latents,
    step_size: Float[Array, ""],
    mask_update: MaskUpdate = "mended",
) -> Latents:
    """Take one Euler step of the active frames; the others stay as they are.

    Args:
        settled: before frames entered, see `sampling.masks.Frames`.
        entered: with frames that enter at this step, the input of the prediction.
        velocities: guided velocities.
        active: True for frames that take part.
        step_size: fall of the noise level, in [0, 1].
        mask_update: "mended" steps from ``entered``. "reference" steps from
            ``settled``, as the original does, which drops the noise just added.
    """
    start = entered if mask_update == "mended" else settled
    stepped = jax.tree.map(lambda x, v: x + v * step_size, start, velocities)
    return masks.masked_update(settled, stepped, active)
