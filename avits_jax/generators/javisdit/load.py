"""JavisDiT ready to run: networks, weights, tokenizers and sizes (host only)."""

from collections.abc import Callable
from dataclasses import replace

from avits_jax.generators.javisdit.encode import PromptEncoder
from avits_jax.generators.javisdit.generator import javisdit
from avits_jax.generators.javisdit.guidance import MaskUpdate
from avits_jax.generators.javisdit.modeling import PriorScope
from avits_jax.generators.javisdit.networks import JavisDiTConfig, Networks
from avits_jax.generators.javisdit.schedule import Precision
from avits_jax.generators.javisdit.sizes import (
    FPS,
    ClipSizes,
    clip_sizes,
    frame_count,
    image_size,
)
from avits_jax.generators.javisdit.tiny import (
    TINY,
    TINY_FPS,
    TINY_FRAMES,
    TINY_SIZE,
    TINY_STEPS,
)
from avits_jax.generators.javisdit.weights import read_config, read_weights
from avits_jax.text import tokenizers
from avits_jax.types import Generator
from avits_jax.weights.network import Weights

RESOLUTION, ASPECT_RATIO, DURATION = "240p", "9:16", "4s"
"""Size of a clip where none is asked for, and the one that the weights are made for."""
NUM_STEPS, GUIDANCE_SCALE = 30, 7.0


def load(
    weights: Weights,
    *,
    tiny: bool = False,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
    resolution: str | None = None,
    aspect_ratio: str | None = None,
    duration: str | int | None = None,
    prior_scope: PriorScope = "candidate",
    mask_update: MaskUpdate = "mended",
    precision: Precision = "float32",
    decode_batch: int = 1,
    decode_frames: int | None = None,
    decode_chunks: int | None = None,
) -> tuple[Generator, Networks]:
    """Load JavisDiT, or its reduced form, for one size of clip.

    Args:
        weights: a checkpoint that tools/convert.py wrote, or random weights.
        tiny: `TINY` networks and clips of 2 s at 8 fps and 48 x 64 pixels, unless sizes
            are asked for.
        num_steps: denoising steps; None for 30, of the reduced form 4.
        guidance_scale: of classifier-free guidance; None for 7.
        resolution: one of `resolutions`; None for 240p.
        aspect_ratio: height to width, one of `aspect_ratios`; None for 9:16.
        duration: "2s", "4s" and so on, or a number of frames; None for 4s.
        prior_scope: see `javisdit`.
        mask_update: see `javisdit`.
        precision: see `javisdit`.
        decode_batch: most candidates that are decoded at once.
        decode_frames: most frames that the image decoder works on at once; None for 4.
        decode_chunks: most chunks of 17 frames that the decoder over time works on at
            once; None for 1.

    Returns:
        The generator, and the weights as its ``params``.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, half converted, of another
            model, or lacks a part; all such parts are named.
        ValueError: the networks do not fit each other, a size is not on offer (what is
            on offer is listed), an option is out of range, or the tokenizer's files are
            missing.

    Example:
        >>> generator, params = load(Weights(None), tiny=True)
    """
    config = read_config(weights, TINY if tiny else JavisDiTConfig())
    config = _chunked(config, decode_frames, decode_chunks)
    fps = TINY_FPS if tiny else FPS
    clip = _clip(config, fps, tiny, resolution, aspect_ratio, duration)
    generator = javisdit(
        config,
        clip,
        num_steps=(TINY_STEPS if tiny else NUM_STEPS)
        if num_steps is None
        else num_steps,
        guidance_scale=GUIDANCE_SCALE if guidance_scale is None else guidance_scale,
        prior_scope=prior_scope,
        mask_update=mask_update,
        precision=precision,
        fps=fps,
        decode_batch=decode_batch,
        encode=_encoder(weights, config),
    )
    return generator, read_weights(weights, config)


def _clip(
    config: JavisDiTConfig,
    fps: float,
    tiny: bool,
    resolution: str | None,
    aspect_ratio: str | None,
    duration: str | int | None,
) -> ClipSizes:
    size, frames = TINY_SIZE, TINY_FRAMES
    if not tiny or resolution or aspect_ratio:
        size = image_size(resolution or RESOLUTION, aspect_ratio or ASPECT_RATIO)
    if not tiny or duration is not None:
        frames = frame_count(DURATION if duration is None else duration)
    return clip_sizes(
        *size,
        frames,
        fps=fps,
        transformer=config.transformer,
        video_vae=config.video_vae,
        audio_vae=config.audio_vae,
    )


def _chunked(
    config: JavisDiTConfig, frames: int | None, chunks: int | None
) -> JavisDiTConfig:
    """Return the sizes with what is decoded at once."""
    vae = config.video_vae
    asked = {"decode_frames": frames, "decode_chunks": chunks}
    for name, value in asked.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    return replace(
        config,
        video_vae=replace(
            vae,
            frames_at_once=vae.frames_at_once if frames is None else frames,
            chunks_at_once=vae.chunks_at_once if chunks is None else chunks,
        ),
    )


def _encoder(weights: Weights, config: JavisDiTConfig) -> PromptEncoder:
    t5_ids: Callable[[str], list[int]]
    if weights.folder is None:
        t5_ids = tokenizers.dummy("t5", config.t5.vocab_size)
    else:
        t5_ids = tokenizers.load(weights.folder / "t5", "t5")
    return PromptEncoder(
        t5_ids, config.transformer.text_length, config.prior.imagebind.context_length
    )
