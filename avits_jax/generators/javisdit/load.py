"""JavisDiT ready to run: networks, tokenizers and sizes of clips (host only)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.encode import PromptEncoder
from avits_jax.generators.javisdit.generator import javisdit
from avits_jax.generators.javisdit.guidance import MaskUpdate
from avits_jax.generators.javisdit.modeling import PriorScope
from avits_jax.generators.javisdit.networks import check_sizes
from avits_jax.generators.javisdit.parts import MODEL
from avits_jax.generators.javisdit.schedule import Precision
from avits_jax.generators.javisdit.sizes import (
    FPS,
    ClipSizes,
    clip_sizes,
    frame_count,
    image_size,
)
from avits_jax.generators.javisdit.tiny import (
    TINY_FPS,
    TINY_FRAMES,
    TINY_SIZE,
    TINY_STEPS,
)
from avits_jax.text import tokenizers
from avits_jax.types import Generator
from avits_jax.weights.model import Configs

RESOLUTION, ASPECT_RATIO, DURATION = "240p", "9:16", "4s"
"""Size of a clip where none is asked for, and the one that the weights are made for."""
NUM_STEPS = 30

__all__ = ["MODEL", "Options", "make"]


class Options(NamedTuple):
    """What JavisDiT leaves to choose.

    Attributes:
        num_steps: denoising steps; None for 30, of the reduced form 4.
        guidance_scale: of classifier-free guidance.
        resolution: "240p" and others; None for 240p.
        aspect_ratio: height to width, "9:16" and others; None for 9:16.
        duration: "2s", "4s" and so on, or a number of frames; None for 4s.
        prior_scope: whose priors a candidate sees: "candidate", "batch" or "separate".
        mask_update: how partly given frames enter: "mended" or "reference".
        precision: "float32"; "reference" rounds as the original does in bfloat16.
        decode_batch: most candidates that are decoded at once.
        decode_frames: most frames that the image decoder works on at once; None for 4.
        decode_chunks: most chunks of 17 frames that the decoder over time works on at
            once; None for 1.
        text_bucket: T5's tokens are padded to a multiple of so many, at most to 300;
            each length has a program of its own, of 300 it is one for all prompts.
    """

    num_steps: int | None = None
    guidance_scale: float = 7.0
    resolution: str | None = None
    aspect_ratio: str | None = None
    duration: str | int | None = None
    prior_scope: PriorScope = "candidate"
    mask_update: MaskUpdate = "mended"
    precision: Precision = "float32"
    decode_batch: int = 1
    decode_frames: int | None = None
    decode_chunks: int | None = None
    text_bucket: int = 64


def make(
    configs: Configs, files: Path | None, options: Options, *, reduced: bool = False
) -> Generator:
    """Make JavisDiT, or its reduced form, for one size of clip.

    Args:
        configs: sizes of its networks, by part.
        files: the checkpoint, which holds T5's tokenizer; None for a dummy one.
        options: its own.
        reduced: clips of 2 s at 8 fps and 48 x 64 pixels, unless sizes are asked for.

    Raises:
        ValueError: the networks do not fit each other, a size is not on offer (what is
            on offer is listed), an option is out of range, or the tokenizer's files are
            missing.

    Example:
        >>> generator = make(MODEL.reduced, None, Options(num_steps=2), reduced=True)
    """
    config = Networks(**configs)
    check_sizes(config)
    config = _chunked(config, options)
    fps = TINY_FPS if reduced else FPS
    steps = TINY_STEPS if reduced else NUM_STEPS
    return javisdit(
        config,
        _clip(config, options, fps, reduced),
        num_steps=steps if options.num_steps is None else options.num_steps,
        guidance_scale=options.guidance_scale,
        prior_scope=options.prior_scope,
        mask_update=options.mask_update,
        precision=options.precision,
        fps=fps,
        decode_batch=options.decode_batch,
        encode=_encoder(files, config, options.text_bucket),
    )


def _clip(config: Networks, options: Options, fps: float, reduced: bool) -> ClipSizes:
    resolution, aspect_ratio = options.resolution, options.aspect_ratio
    size, frames = TINY_SIZE, TINY_FRAMES
    if not reduced or resolution or aspect_ratio:
        size = image_size(resolution or RESOLUTION, aspect_ratio or ASPECT_RATIO)
    if not reduced or options.duration is not None:
        frames = frame_count(DURATION if options.duration is None else options.duration)
    return clip_sizes(
        *size,
        frames,
        fps=fps,
        transformer=config.transformer,
        video_vae=config.video_vae,
        audio_vae=config.audio_vae,
    )


def _chunked(config: Networks, options: Options) -> Networks:
    """Return the sizes with what is decoded at once."""
    asked = {"frames_at_once": "decode_frames", "chunks_at_once": "decode_chunks"}
    given = {}
    for field, name in asked.items():
        value = getattr(options, name)
        if value is None:
            continue
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
        given[field] = value
    return config._replace(video_vae=replace(config.video_vae, **given))


def _encoder(files: Path | None, config: Networks, bucket: int) -> PromptEncoder:
    if bucket < 1:
        raise ValueError(f"text_bucket is {bucket}; expected at least 1")
    t5_ids: Callable[[str], list[int]]
    if files is None:
        t5_ids = tokenizers.dummy("t5", config.t5.vocab_size)
    else:
        t5_ids = tokenizers.load(files / "t5", "t5")
    return PromptEncoder(
        t5_ids,
        config.transformer.text_length,
        config.prior.imagebind.context_length,
        bucket=bucket,
    )
