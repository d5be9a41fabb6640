"""JavisDiT as a generator of the core: guided rectified flow over candidates.

A candidate's latents are float32 on the noise path. Its sampled priors are part of it:
their keys and values travel in ``Candidates.extra``, together with those of the null
priors. Everything else that a prompt fixes is in `Condition`.
"""

from collections.abc import Callable
from typing import get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from avits_jax.generators.javisdit import guidance
from avits_jax.generators.javisdit.condition import (
    Condition,
    EncodedPrompt,
    make_condition,
    prepare,
    text_states,
    with_states,
)
from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.flops import (
    evaluation_flops,
    flops_outside_levels,
)
from avits_jax.generators.javisdit.guidance import ClipInfo, Latents, MaskUpdate
from avits_jax.generators.javisdit.modeling import (
    Context,
    PriorContext,
    PriorScope,
    Streams,
    Transformer,
    couple_rows,
)
from avits_jax.generators.javisdit.networks import networks
from avits_jax.generators.javisdit.parts import MODEL, PUBLISHED
from avits_jax.generators.javisdit.schedule import (
    NUM_TIMESTEPS,
    Precision,
    timesteps,
)
from avits_jax.generators.javisdit.sizes import FPS, ClipSizes
from avits_jax.sampling.chunks import over_candidates
from avits_jax.sampling.drafts import usual_drafts
from avits_jax.sampling.masks import Frames, previous_level, settle, start_from
from avits_jax.sampling.reuse import Blocks, Guidance
from avits_jax.sampling.schedules import levels_at
from avits_jax.sampling.steps import noise_like
from avits_jax.types import Candidates, Generator, Keys, Media, PyTree

__all__ = [
    "Condition",
    "PUBLISHED",
    "Networks",
    "EncodedPrompt",
    "javisdit",
    "make_condition",
    "networks",
    "text_states",
]


def by_candidate(priors: PriorContext) -> PriorContext:
    """Turn ``[depth, 2 N, ...]`` into ``[N, 2, depth, ...]``: candidates first."""

    def move(array: Array) -> Array:
        array = jnp.moveaxis(array, 0, 1)
        return array.reshape(-1, 2, *array.shape[1:])

    return jax.tree.map(move, priors)


def by_row(priors: PriorContext) -> PriorContext:
    """Undo `by_candidate`."""

    def move(array: Array) -> Array:
        return jnp.moveaxis(array.reshape(-1, *array.shape[2:]), 1, 0)

    return jax.tree.map(move, priors)


def javisdit(
    config: Networks,
    clip: ClipSizes,
    *,
    num_steps: int = 30,
    guidance_scale: float = 7.0,
    prior_scope: PriorScope = "candidate",
    mask_update: MaskUpdate = "mended",
    precision: Precision = "float32",
    fps: float = FPS,
    decode_batch: int = 1,
    encode: Callable[[str], EncodedPrompt] | None = None,
) -> Generator:
    """Make JavisDiT for one size of clip.

    ``params`` of its functions is `Networks`. ``prepare`` takes an `EncodedPrompt`, the
    other functions take the `Condition` that it returns. Its drafts are those of
    `sampling.usual_drafts`; frames that enter late do so without noise in them.

    ``decode`` works on ``decode_batch`` candidates at a time, and for each of them on
    ``config.video_vae.frames_at_once`` frames and ``chunks_at_once`` chunks of 17
    frames, one after another, so that its working memory does not grow with the number
    of candidates or frames. The largest array inside holds 2 channels[0] numbers per
    pixel of the frames worked on (at 240 x 424 with 4 frames: 104 million numbers, 208
    MB in bfloat16); a few of them live at once. Clips themselves come on top: 125 MB
    for one of 4 s at 240p, in float32.

    Args:
        config: sizes of the networks.
        clip: sizes of the clip, from `clip_sizes`.
        num_steps: denoising steps.
        guidance_scale: of classifier-free guidance, for both streams.
        prior_scope: whose priors are seen. "candidate": both halves of a candidate's
            guidance see its own priors and the null priors, which is what the original
            does when it makes one candidate at a time. "batch": both halves of every
            candidate see the priors of all that are worked on together, which is what
            the original does when it makes several. "separate": the conditional half
            sees its own priors, the other one the null priors.
        mask_update: how frames enter that are partly given, see
            `guidance.masked_update`.
        precision: "reference" rounds sizes, timesteps and frequencies to bfloat16, as
            the original does when it runs in that format.
        fps: frames per second.
        decode_batch: most candidates that are decoded at once.
        encode: what turns a prompt into an `EncodedPrompt`; None where they come so.

    Raises:
        ValueError: an option is unknown, or a number is less than 1.

    Example:
        >>> clip = clip_sizes(*image_size("240p", "9:16"), frame_count("4s"))
        >>> generator = javisdit(PUBLISHED, clip)
    """
    _check_options(prior_scope, mask_update, decode_batch)
    levels = timesteps(num_steps, clip.height, clip.width, clip.num_frames, precision)
    sigmas = (*(float(level) / NUM_TIMESTEPS for level in levels), 0.0)
    graphs, _ = networks(config, precision)
    told = ClipInfo(float(fps), float(clip.height), float(clip.width))

    def prepare_prompt(params: Networks, cond: EncodedPrompt) -> Condition:
        return prepare(params, graphs, cond)

    def text(params_text: PyTree, cond: EncodedPrompt) -> EncodedPrompt:
        return with_states(params_text, graphs, cond)

    def init(params: Networks, keys: Keys, cond: Condition) -> Candidates:
        count = len(keys)
        empty = (
            Latents(
                jnp.zeros((count, *clip.video_latent)),
                jnp.zeros((count, *clip.audio_latent)),
            ),
            jnp.zeros((count, *cond.prior.mean.shape)),
        )
        latents, prior_noise = noise_like(keys, empty)
        if cond.given is not None:
            latents = start_from(cond.given, latents)
        tokens = cond.prior.sample(prior_noise)
        transformer = nnx.merge(graphs.transformer, params.transformer)
        split = config.prior.spatial_tokens
        pairs = guidance.paired_priors(
            transformer, tokens[:, :split], tokens[:, split:]
        )
        return Candidates(latents, by_candidate(transformer.prepare_priors(*pairs)))

    def frames_of(keys: Keys | None, latents: Latents, i, cond: Condition) -> Frames:
        if cond.given is None:
            return Frames(latents, latents, None)
        now, before = levels_at(sigmas, i), previous_level(sigmas, i)
        noise = None if keys is None else noise_like(keys, latents)
        return settle(cond.given, latents, now, before, noise)

    def context_of(extra, cond: Condition) -> Context:
        priors = couple_rows(by_row(extra), prior_scope)
        return Context(cond.text, cond.text_mask, priors)

    def inputs(
        params: Networks, frames: Frames, extra, i, cond: Condition
    ) -> tuple[Transformer, Latents, Array, Context, ClipInfo, Latents | None]:
        """Return what predictions of a step are made from, as `guidance` takes it."""
        return (
            nnx.merge(graphs.transformer, params.transformer),
            frames.entered,
            jnp.asarray(levels)[i],
            context_of(extra, cond),
            told,
            frames.active,
        )

    def velocity_pair(params, frames: Frames, extra, i, cond, added=None):
        """Return conditional and guided velocities, and what the levels added."""
        given = inputs(params, frames, extra, i, cond)
        rows, added = guidance.paired_predictions(*given, added)
        return *guidance.guided_pair(rows, guidance_scale), added

    def moved(frames: Frames, update: Latents, fall) -> Latents:
        if frames.active is None:
            return jax.tree.map(lambda z, v: z + fall * v, frames.settled, update)
        return guidance.masked_update(
            frames.settled, frames.entered, update, frames.active, fall, mask_update
        )

    def advance(params, keys, candidates: Candidates, i, cond, fall) -> Latents:
        frames = frames_of(keys, candidates.latents, i, cond)
        given = inputs(params, frames, candidates.extra, i, cond)
        rows = guidance.shared_predictions(*given, prior_scope)
        _, update = guidance.guided_pair(rows, guidance_scale)
        return moved(frames, update, fall)

    def step(params, keys, candidates, i, cond) -> Candidates:
        fall = levels_at(sigmas, i) - levels_at(sigmas, i + 1)
        after = advance(params, keys, candidates, i, cond, fall)
        return Candidates(after, candidates.extra)

    def predict(params, candidates, i, cond) -> Latents:
        return advance(params, None, candidates, i, cond, levels_at(sigmas, i))

    def both(params, candidates, i, cond) -> tuple[Latents, Latents]:
        frames = frames_of(None, candidates.latents, i, cond)
        *pair, _ = velocity_pair(params, frames, candidates.extra, i, cond)
        conditional, guided = (moved(frames, v, levels_at(sigmas, i)) for v in pair)
        return conditional, guided

    def reusing(params, candidates, i, cond, added) -> tuple[Latents, Streams]:
        frames, extra = frames_of(None, candidates.latents, i, cond), candidates.extra
        _, update, added = velocity_pair(params, frames, extra, i, cond, added)
        return moved(frames, update, levels_at(sigmas, i)), added

    def conditional_alone(params, candidates, i, cond) -> Latents:
        frames = frames_of(None, candidates.latents, i, cond)
        model, entered, level, context, clip, active = inputs(
            params, frames, candidates.extra, i, cond
        )
        alone = guidance.branch_context(context, prior_scope, 0)
        rows, _ = guidance.predictions(model, entered, level, alone, clip, active)
        return moved(frames, guidance.velocities(rows), levels_at(sigmas, i))

    def decode(params: Networks, candidates: Candidates) -> Media:
        video_vae = nnx.merge(graphs.video_vae, params.video_vae)
        audio_vae = nnx.merge(graphs.audio_vae, params.audio_vae)

        def some(latents: Latents) -> Media:
            video = video_vae.decode(latents.video, clip.num_frames)
            audio = audio_vae.decode(latents.audio, clip.num_samples)
            return Media(jnp.clip(0.5 * video + 0.5, 0.0, 1.0), audio)

        return over_candidates(some, candidates.latents, decode_batch)

    generator = Generator(
        init=init,
        step=step,
        decode=decode,
        predict=predict,
        sigmas=sigmas,
        nfe_per_step=2,
        fps=float(fps),
        sample_rate=config.audio_vae.vocoder.sample_rate,
        encode=encode,
        prepare=prepare_prompt,
        rules=MODEL.split,
        text=text,
        text_part="t5",
        flops_per_evaluation=evaluation_flops(config.transformer, clip, prior_scope),
    )
    drafts = usual_drafts(
        generator,
        Guidance(both, conditional_alone),
        Blocks(reusing, flops_outside_levels(config.transformer, clip)),
    )
    return generator._replace(drafts=drafts)


def _check_options(prior_scope: str, mask_update: str, decode_batch: int) -> None:
    for name, value, accepted in (
        ("prior_scope", prior_scope, get_args(PriorScope)),
        ("mask_update", mask_update, get_args(MaskUpdate)),
    ):
        if value not in accepted:
            raise ValueError(f"{name} is {value!r}; accepted are {accepted}")
    if decode_batch < 1:
        raise ValueError(f"decode_batch is {decode_batch}; expected at least 1")
