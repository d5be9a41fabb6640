"""LTX-2.3 ready to run: networks, tokenizer and sizes of clips (host only)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from avits_jax.generators.ltx2 import guidance, schedule, tiny
from avits_jax.generators.ltx2.condition import Prompt
from avits_jax.generators.ltx2.conditioning import CleanRule, GivenSigma
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.encode import NEGATIVE_PROMPT, PromptEncoder
from avits_jax.generators.ltx2.generator import TEXT_LENGTH, Choices, Positions, ltx2
from avits_jax.generators.ltx2.guidance import RescaleOver, Scales
from avits_jax.generators.ltx2.networks import check_sizes
from avits_jax.generators.ltx2.parts import LTX_2_3
from avits_jax.generators.ltx2.refiner import (
    Audio,
    FirstFrame,
    Partly,
    StageChoices,
    ltx2_refiner,
)
from avits_jax.generators.ltx2.schedule import ScheduleTokens
from avits_jax.generators.ltx2.sizes import (
    FPS,
    ClipSizes,
    clip_sizes,
    frame_count,
    image_size,
)
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.text import tokenizers
from avits_jax.types import Generator, Refiner
from avits_jax.weights.model import Configs

MODEL = LTX_2_3
RESOLUTION, NUM_FRAMES, NUM_STEPS = "512x768", 121, 30
_SCALES = (
    "guidance_scale",
    "audio_guidance_scale",
    "stg_scale",
    "audio_stg_scale",
    "modality_scale",
    "audio_modality_scale",
    "rescale",
    "audio_rescale",
)
# Options that distilled weights have no use for.
_GUIDED = ("num_steps", *_SCALES, "negative_prompt", "schedule_tokens")

__all__ = ["MODEL", "Options", "make", "make_refiner"]


class Options(NamedTuple):
    """What LTX-2 and LTX-2.3 leave to choose.

    Distilled models have fixed steps and no guidance: they refuse `num_steps` and what
    belongs to guidance.

    Attributes:
        num_steps: denoising steps; None for 30 (LTX-2: 40), of the reduced form 4.
        guidance_scale: of guidance of the picture alone by the text, 1 is none; None
            for 3.
        audio_guidance_scale: the same of the sound; None for 7.
        stg_scale: of guidance of the picture by a network without one block's
            self-attention, 0 is none; None for 1.
        audio_stg_scale: the same of the sound; None for the picture's.
        modality_scale: of guidance by picture and sound that do not see each other, 1
            is none; None for 3.
        audio_modality_scale: the same of the sound; None for the picture's.
        rescale: how far guidance keeps the deviation of predictions, in [0, 1]; None
            for 0.7.
        audio_rescale: the same of the sound; None for the picture's.
        negative_prompt: what guidance by the text leads away from; "" for no words, as
            diffusers has it; None for that of ltx-pipelines 1.0.0.
        resolution: height x width, "512x768", multiples of 32; None for 512x768.
        duration: frames (121), one more than a multiple of 8, or seconds ("5s"); None
            for 121.
        fps: frames per second.
        half_size: make clips of half the height and width, to be refined.
        schedule_tokens: tokens that noise levels are computed for, or "clip" for the
            clip's own, as diffusers has it; None for 4096 whatever the clip, as
            ltx-pipelines has it, for whose weights its defaults are made.
        rescale_over: deviations are those of each "candidate" (diffusers), or of the
            whole "batch" (ltx-core).
        positions: of the picture, "float32" (ltx-core 1.2.0, diffusers) or "bfloat16"
            (ltx-pipelines 1.0.0).
        clean_rule: clean samples of partly given tokens are made with the level of the
            "token" (ltx-core) or the step's, "plain" (diffusers).
        given_sigma: level of a stream that is given whole: "zero" (ltx-pipelines
            1.2.0) or "step" (1.0.0).
        clamp: whether the sound of 16 kHz is cut to [-1, 1] before it is extended
            (ltx-core), or not (diffusers).
        refined_audio: the sound of refined clips, "stage2" (ltx-pipelines 1.0.0,
            diffusers) or "stage1" (1.2.0).
        refined_first_frame: what refined clips are given that begin with a picture: the
            "picture" at full size (ltx-pipelines), or the "upsampled" latents
            (diffusers).
        refined_partly: what partly given tokens are refined from: "given" (1.0.0,
            diffusers) or "latent" (1.2.0).
        decode_batch: most candidates that are decoded at once.
        preview_decoder: decode clips on the way with the small decoder.
    """

    num_steps: int | None = None
    guidance_scale: float | None = None
    audio_guidance_scale: float | None = None
    stg_scale: float | None = None
    audio_stg_scale: float | None = None
    modality_scale: float | None = None
    audio_modality_scale: float | None = None
    rescale: float | None = None
    audio_rescale: float | None = None
    negative_prompt: str | None = None
    resolution: str | None = None
    duration: str | int | None = None
    fps: float = FPS
    half_size: bool = False
    schedule_tokens: ScheduleTokens | None = None
    rescale_over: RescaleOver = "candidate"
    positions: Positions = "float32"
    clean_rule: CleanRule = "token"
    given_sigma: GivenSigma = "zero"
    clamp: bool = True
    refined_audio: Audio = "stage2"
    refined_first_frame: FirstFrame = "picture"
    refined_partly: Partly = "given"
    decode_batch: int = 1
    preview_decoder: bool = False


def make(
    configs: Configs, files: Path | None, options: Options, *, reduced: bool = False
) -> Generator:
    """Make LTX-2.3, or its reduced form, for one size of clip.

    Args:
        configs: sizes of its networks, by part.
        files: the checkpoint, which holds Gemma's tokenizer; None for a dummy one.
        options: its own.
        reduced: clips of 17 frames of 64 x 128 pixels, unless sizes are asked for.

    Raises:
        ValueError: the networks do not fit each other, a size is none that clips can
            have (the nearest is named), an option is out of range, or the tokenizer's
            files are missing.

    Example:
        >>> generator = make(MODEL.reduced, None, Options(num_steps=2), reduced=True)
    """
    steps = tiny.NUM_STEPS if reduced else NUM_STEPS
    return make_guided(configs, files, options, steps, reduced=reduced)


def make_guided(
    configs: Configs,
    files: Path | None,
    options: Options,
    num_steps: int,
    *,
    reduced: bool = False,
) -> Generator:
    """Make a model that is not distilled, see `make`.

    Args:
        configs: sizes of its networks, by part.
        files: the checkpoint, or None.
        options: its own.
        num_steps: where none are asked for.
        reduced: the reduced form.
    """
    if options.num_steps is not None:
        num_steps = options.num_steps
    asked = options.schedule_tokens
    tokens = schedule.tokens_for_schedule(
        schedule.USUAL_TOKENS if asked is None else asked,
        _searched(options, reduced).video_tokens,
    )
    sigmas = schedule.shifted_sigmas(num_steps, tokens)
    return _made(configs, files, options, sigmas, scales_of(options), reduced)


def make_distilled(
    configs: Configs, files: Path | None, options: Options, *, reduced: bool = False
) -> Generator:
    """Make a distilled model, see `make`.

    Args:
        configs: sizes of its networks, by part.
        files: the checkpoint, or None.
        options: its own.
        reduced: the reduced form.

    Raises:
        ValueError: an option is asked for that belongs to guidance; or see `make`.
    """
    for name in _GUIDED:
        if (value := getattr(options, name)) is not None:
            raise ValueError(
                f"{name} is {value!r}, but distilled weights take "
                f"{len(schedule.DISTILLED) - 1} fixed steps without guidance"
            )
    none = guidance.NONE
    return _made(configs, files, options, schedule.DISTILLED, none, reduced)


def _made(
    configs: Configs,
    files: Path | None,
    options: Options,
    sigmas: tuple[float, ...],
    scales: Streams,
    reduced: bool,
) -> Generator:
    config = networks_of(configs, options)
    return ltx2(
        config,
        _searched(options, reduced),
        sigmas,
        scales=scales,
        with_preview=options.preview_decoder,
        **_common(config, files, options, reduced),
    )


def make_refiner(
    configs: Configs, files: Path | None, options: Options, *, reduced: bool = False
) -> Refiner:
    """Make the second stage of clips that were made with `half_size`.

    Its weights are distilled, or have a distilled LoRA merged in. Steps and guidance
    are fixed; what `options` say of them is of the first stage.

    Args:
        configs: sizes of its networks, by part.
        files: the checkpoint, or None.
        options: its own; ``resolution`` is that of the refined clips.
        reduced: the reduced form.

    Raises:
        ValueError: there is no upsampler, height or width is no multiple of 64, or see
            `make`.

    Example:
        >>> options = Options(resolution="128x128")
        >>> refiner = make_refiner(MODEL.reduced, None, options, reduced=True)
        >>> half = options._replace(half_size=True)
        >>> generator = make(MODEL.reduced, None, half, reduced=True)
    """
    config = networks_of(configs, options)
    stage = StageChoices(
        options.refined_audio, options.refined_first_frame, options.refined_partly
    )
    return ltx2_refiner(
        config,
        sizes_of(options, reduced),
        stage=stage,
        **_common(config, files, options, reduced),
    )


def sizes_of(options: Options, reduced: bool) -> ClipSizes:
    """Return the sizes of the clip that is asked for, at full size."""
    resolution, frames = options.resolution, options.duration
    if resolution is None:
        resolution = tiny.RESOLUTION if reduced else RESOLUTION
    if frames is None:
        frames = tiny.NUM_FRAMES if reduced else NUM_FRAMES
    size = image_size(resolution)
    return clip_sizes(size, frame_count(frames, options.fps), options.fps)


def _searched(options: Options, reduced: bool) -> ClipSizes:
    size = sizes_of(options, reduced)
    return size.halved() if options.half_size else size


def scales_of(options: Options) -> Streams:
    """Return the scales of guidance that are asked for, of both streams.

    Raises:
        ValueError: one makes no sense.
    """
    for name in _SCALES:
        if (value := getattr(options, name)) is not None:
            guidance.check_scale(name, value, name.endswith("rescale"))

    def chosen(usual: Scales, *asked: float | None) -> Scales:
        pairs = zip(asked, usual, strict=True)
        return Scales(*(usual if ours is None else ours for ours, usual in pairs))

    video = chosen(
        guidance.USUAL.video,
        options.guidance_scale,
        options.stg_scale,
        options.modality_scale,
        options.rescale,
    )
    audio = chosen(
        video._replace(text=guidance.USUAL.audio.text),
        options.audio_guidance_scale,
        options.audio_stg_scale,
        options.audio_modality_scale,
        options.audio_rescale,
    )
    return Streams(video, audio)


def networks_of(configs: Configs, options: Options) -> Networks:
    """Return the sizes of the networks, which are checked, as options have them."""
    config = Networks(**configs)
    check_sizes(config)
    return config._replace(vocoder=replace(config.vocoder, clamp=options.clamp))


def _common(
    config: Networks, files: Path | None, options: Options, reduced: bool
) -> dict[str, Any]:
    """Return the arguments that both stages have alike."""
    length = tiny.TEXT_LENGTH if reduced else TEXT_LENGTH
    return {
        "choices": Choices(
            options.rescale_over,
            options.positions,
            options.clean_rule,
            options.given_sigma,
        ),
        "text_length": length,
        "decode_batch": options.decode_batch,
        "encode": _encoder(files, config, options.negative_prompt, length),
    }


def _encoder(
    files: Path | None, config: Networks, negative: str | None, length: int
) -> Callable[[str], Prompt]:
    if files is None:
        ids = tokenizers.dummy("gemma3", config.text.gemma.vocab_size)
    else:
        ids = tokenizers.load(files / "text", "gemma3")
    negative = NEGATIVE_PROMPT if negative is None else negative
    encoder = PromptEncoder(ids, negative, length)

    def encode(prompt: str) -> Prompt:
        return Prompt(*encoder(prompt))

    return encode
