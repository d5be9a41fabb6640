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
    Transformer,
    couple_rows,
)
from avits_jax.generators.javisdit.schedule import NUM_TIMESTEPS
from avits_jax.sampling.guidance import classifier_free_guidance

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


def interleave(with_prompt: Array, without: Array) -> Array:
    """Join rows of two arrays in turn, beginning with the first."""
    pairs = jnp.stack([with_prompt, without], 1)
    return pairs.reshape(-1, *with_prompt.shape[1:])


def paired_text(
    model: Transformer, text: Float[Array, "R L E"]
) -> Float[Array, "2*R L E"]:
    """Put the null text behind each row of a text, at the same length."""
    null_text = model.null_text[...][: text.shape[1]]
    return interleave(text, jnp.broadcast_to(null_text, text.shape))


def paired_priors(
    model: Transformer,
    spatial: Float[Array, "B Ns Dp"],
    temporal: Float[Array, "B Nt Dp"],
) -> tuple[Float[Array, "2*B Ns Dp"], Float[Array, "2*B Nt Dp"]]:
    """Put the null priors behind each row of spatial and temporal priors."""
    null_spatial, null_temporal = jnp.split(model.null_prior[...], [spatial.shape[1]])
    return (
        interleave(spatial, jnp.broadcast_to(null_spatial, spatial.shape)),
        interleave(temporal, jnp.broadcast_to(null_temporal, temporal.shape)),
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
        None if text_mask is None else jnp.repeat(text_mask, 2, axis=0),
        couple_rows(priors, prior_scope),
    )


def paired_predictions(
    model: Transformer,
    latents: Latents,
    timestep: Float[Array, ""],
    context: Context,
    clip: ClipInfo,
    active: Latents | None = None,
) -> Latents:
    """Return the transformer's raw outputs, two neighbouring rows per sample.

    ``active`` is True for frames at ``timestep`` and False for given ones.
    """
    double = jax.tree.map(lambda x: jnp.repeat(x, 2, axis=0), latents)
    masks = jax.tree.map(lambda mask: jnp.repeat(mask, 2, axis=0), active)
    rows = len(double.video)
    return Latents(
        *model(
            double.video,
            double.audio,
            jnp.full((rows,), timestep, jnp.float32),
            context,
            fps=jnp.full((rows,), clip.fps, jnp.float32),
            height=clip.height,
            width=clip.width,
            video_mask=None if masks is None else masks.video,
            audio_mask=None if masks is None else masks.audio,
        )
    )


def guide(predictions: Latents, guidance_scale: float) -> Latents:
    """Return guided velocities (data minus noise) from `paired_predictions`.

    The second half of the channels is a learned variance left over from training.
    """

    def velocity(rows: Array) -> Array:
        return rows[..., : rows.shape[-1] // 2]

    conditional = jax.tree.map(lambda rows: velocity(rows[0::2]), predictions)
    unconditional = jax.tree.map(lambda rows: velocity(rows[1::2]), predictions)
    return classifier_free_guidance(conditional, unconditional, guidance_scale)


def over_frames(mask: Array, x: Array) -> Array:
    """Give a mask of samples and frames axes for what a frame holds."""
    return mask.reshape(*mask.shape, *([1] * (x.ndim - mask.ndim)))


def active_frames(masks: Latents, timestep: Float[Array, ""]) -> Latents:
    """Mark frames that take part at ``timestep``: their mask times 1000 reaches it.

    Args:
        masks: per latent frame in [0, 1]: 0 keeps a frame as given, 1 makes it from
            noise, values between re-make it from that noise level on.
        timestep: in [0, 1000].
    """
    return jax.tree.map(lambda mask: mask * NUM_TIMESTEPS >= timestep, masks)


def enter_frames(
    latents: Latents,
    noise: Latents,
    masks: Latents,
    timestep: Float[Array, ""],
    previous: Float[Array, ""],
) -> Latents:
    """Bring frames that begin to take part at ``timestep`` up to its noise level.

    Args:
        latents: given frames are clean, active ones at ``timestep``.
        noise: standard normal, for the frames that enter.
        masks: see `active_frames`.
        timestep: of this step.
        previous: of the step before; 1000 at the first.
    """
    sigma = timestep / NUM_TIMESTEPS
    now, before = active_frames(masks, timestep), active_frames(masks, previous)

    def enter(x, fresh, now, before):
        noisy = (1 - sigma) * x + sigma * fresh
        return jnp.where(over_frames(now & ~before, x), noisy, x)

    return jax.tree.map(enter, latents, noise, now, before)


def masked_update(
    latents: Latents,
    entered: Latents,
    velocities: Latents,
    active: Latents,
    step_size: Float[Array, ""],
    mask_update: MaskUpdate = "mended",
) -> Latents:
    """Take one Euler step of the active frames; the others stay as they are.

    Args:
        latents: before `enter_frames`.
        entered: what `enter_frames` returned, the input of the prediction.
        velocities: guided velocities.
        active: what `active_frames` returned.
        step_size: fall of the noise level, in [0, 1].
        mask_update: "mended" steps from ``entered``. "reference" steps from
            ``latents``, as the original does, which drops the noise just added.
    """
    start = entered if mask_update == "mended" else latents

    def update(x, old, velocity, mask):
        return jnp.where(over_frames(mask, x), x + velocity * step_size, old)

    return jax.tree.map(update, start, latents, velocities, active)
