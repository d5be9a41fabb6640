"""JavisDiT as a generator of the core: guided rectified flow over candidates.

A candidate's latents are float32 on the noise path. Its sampled priors are part of it:
their keys and values travel in ``Candidates.extra``, together with those of the null
priors. Everything else that a prompt fixes is in `Condition`.
"""

from dataclasses import dataclass
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.generators.javisdit import guidance
from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.guidance import ClipInfo, Latents
from avits_jax.generators.javisdit.modeling import (
    Context,
    PriorContext,
    PriorScope,
    TextContext,
    Transformer,
    couple_rows,
)
from avits_jax.generators.javisdit.prior import PriorConfig, PriorEncoder
from avits_jax.generators.javisdit.schedule import (
    NUM_TIMESTEPS,
    Precision,
    timesteps,
)
from avits_jax.generators.javisdit.sizes import FPS, ClipSizes
from avits_jax.generators.javisdit.video_vae import VideoVae, VideoVaeConfig
from avits_jax.nn.abstract import abstract
from avits_jax.nn.gaussian import Gaussian
from avits_jax.sampling.steps import noise_like
from avits_jax.types import Candidates, Generator, Keys, Media, PyTree


@dataclass(frozen=True)
class JavisDiTConfig:
    """Sizes of all networks of JavisDiT but the T5 encoder.

    Attributes:
        transformer: the audio-video transformer.
        prior: the prior encoder.
        video_vae: the video autoencoder.
        audio_vae: the sound autoencoder.
    """

    transformer: TransformerConfig = TransformerConfig()
    prior: PriorConfig = PriorConfig()
    video_vae: VideoVaeConfig = VideoVaeConfig()
    audio_vae: AudioVaeConfig = AudioVaeConfig()


class Networks(NamedTuple):
    """One entry per network: its parameters, their shapes, or its static graph.

    Attributes:
        transformer: the audio-video transformer.
        prior: the prior encoder.
        video_vae: the video autoencoder.
        audio_vae: the sound autoencoder.
    """

    transformer: PyTree
    prior: PyTree
    video_vae: PyTree
    audio_vae: PyTree


class Condition(NamedTuple):
    """What a prompt fixes for all candidates and steps.

    Attributes:
        text: keys and values of the prompt and of the null text, two rows.
        text_mask: ``[2, L]``.
        prior: distribution of the prior tokens, ``[Ns + Nt, D]``.
    """

    text: TextContext
    text_mask: Bool[Array, "2 L"]
    prior: Gaussian


def networks(config: JavisDiTConfig) -> tuple[Networks, Networks]:
    """Static graphs and parameter shapes of all networks, without their memory."""
    made = Networks(
        abstract(lambda rngs: Transformer(config.transformer, rngs=rngs)),
        abstract(lambda rngs: PriorEncoder(config.prior, rngs=rngs)),
        abstract(lambda rngs: VideoVae(config.video_vae, rngs=rngs)),
        abstract(lambda rngs: AudioVae(config.audio_vae, rngs=rngs)),
    )
    return Networks(*(graph for graph, _ in made)), Networks(
        *(like for _, like in made)
    )


def make_condition(
    params: Networks,
    graphs: Networks,
    text: Float[Array, "L E"],
    text_mask: Bool[Array, " L"],
    prior_ids: Int[Array, " K"],
) -> Condition:
    """Prepare a prompt once for all candidates and steps.

    Args:
        params: weights of all networks.
        graphs: their static graphs, from `networks`.
        text: T5 states of the prompt.
        text_mask: True for tokens of the prompt.
        prior_ids: ImageBind token ids of the prompt.
    """
    transformer = nnx.merge(graphs.transformer, params.transformer)
    prior = nnx.merge(graphs.prior, params.prior)(prior_ids[None])
    return Condition(
        transformer.prepare_text(guidance.paired_text(transformer, text[None])),
        jnp.stack([text_mask, text_mask]),
        jax.tree.map(lambda moment: moment[0].astype(jnp.float32), prior),
    )


def _rows_last(priors: PriorContext) -> PriorContext:
    """``[depth, 2 N, ...]`` to ``[N, 2, depth, ...]``: candidates come first."""

    def move(array: Array) -> Array:
        array = jnp.moveaxis(array, 0, 1)
        return array.reshape(-1, 2, *array.shape[1:])

    return jax.tree.map(move, priors)


def _rows_first(priors: PriorContext) -> PriorContext:
    """Undo `_rows_last`."""

    def move(array: Array) -> Array:
        return jnp.moveaxis(array.reshape(-1, *array.shape[2:]), 1, 0)

    return jax.tree.map(move, priors)


def javisdit(
    config: JavisDiTConfig,
    clip: ClipSizes,
    *,
    num_steps: int = 30,
    guidance_scale: float = 7.0,
    prior_scope: PriorScope = "candidate",
    precision: Precision = "float32",
    fps: float = FPS,
) -> Generator:
    """Make JavisDiT for one size of clip.

    ``params`` of its functions is `Networks`, ``cond`` is `Condition`.

    Args:
        config: sizes of the networks.
        clip: sizes of the clip, from `clip_sizes`.
        num_steps: denoising steps.
        guidance_scale: of classifier-free guidance, for both streams.
        prior_scope: "candidate": a candidate sees its own priors and, in its
            unconditional half, the null priors. "batch": every candidate sees the
            priors of all and the null priors, in both halves, as in the original.
        precision: of the noise levels, see `schedule.warp_ratio`.
        fps: frames per second.

    Raises:
        ValueError: unknown scope or precision, or no step.

    Example:
        >>> clip = clip_sizes(*image_size("240p", "9:16"), frame_count("4s"))
        >>> generator = javisdit(JavisDiTConfig(), clip)
    """
    if prior_scope not in get_args(PriorScope):
        raise ValueError(
            f"prior_scope is {prior_scope!r}; accepted are {get_args(PriorScope)}"
        )
    levels = timesteps(num_steps, clip.height, clip.width, clip.num_frames, precision)
    sigmas = (*(float(level) / NUM_TIMESTEPS for level in levels), 0.0)
    graphs, _ = networks(config)
    told = ClipInfo(float(fps), float(clip.height), float(clip.width))

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
        tokens = cond.prior.sample(prior_noise)
        transformer = nnx.merge(graphs.transformer, params.transformer)
        split = config.prior.spatial_tokens
        pairs = guidance.paired_priors(
            transformer, tokens[:, :split], tokens[:, split:]
        )
        return Candidates(latents, _rows_last(transformer.prepare_priors(*pairs)))

    def velocity(params: Networks, candidates: Candidates, i, cond: Condition):
        priors = _rows_first(candidates.extra)
        if prior_scope == "batch":
            priors = couple_rows(priors)
        rows = guidance.paired_predictions(
            nnx.merge(graphs.transformer, params.transformer),
            candidates.latents,
            jnp.asarray(levels)[i],
            Context(cond.text, cond.text_mask, priors),
            told,
        )
        return guidance.guide(rows, guidance_scale)

    def advance(params: Networks, candidates: Candidates, i, cond, fall) -> Latents:
        update = velocity(params, candidates, i, cond)
        return jax.tree.map(lambda z, v: z + fall * v, candidates.latents, update)

    def step(params, keys, candidates, i, cond) -> Candidates:
        del keys  # the ODE has no noise
        table = jnp.asarray(sigmas)
        fall = table[i] - table[i + 1]
        after = advance(params, candidates, i, cond, fall)
        return Candidates(after, candidates.extra)

    def predict(params, candidates, i, cond) -> Latents:
        return advance(params, candidates, i, cond, jnp.asarray(sigmas)[i])

    def decode(params: Networks, candidates: Candidates) -> Media:
        video_vae = nnx.merge(graphs.video_vae, params.video_vae)
        audio_vae = nnx.merge(graphs.audio_vae, params.audio_vae)
        video = video_vae.decode(candidates.latents.video, clip.num_frames)
        audio = audio_vae.decode(candidates.latents.audio, clip.num_samples)
        return Media(jnp.clip(0.5 * video + 0.5, 0.0, 1.0), audio)

    return Generator(
        init=init,
        step=step,
        decode=decode,
        predict=predict,
        sigmas=sigmas,
        nfe_per_step=2,
        fps=float(fps),
        sample_rate=config.audio_vae.vocoder.sample_rate,
    )
