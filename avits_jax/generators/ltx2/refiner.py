"""The second stage: clips of twice the height and width, begun from finished ones."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.ltx2 import conditioning, guidance
from avits_jax.generators.ltx2.condition import Condition, Prompt
from avits_jax.generators.ltx2.conditioning import Given, Partly
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.generator import (
    TEXT_LENGTH,
    Carried,
    Choices,
    fresh_noise,
    ltx2,
)
from avits_jax.generators.ltx2.networks import networks
from avits_jax.generators.ltx2.schedule import SECOND_STAGE
from avits_jax.generators.ltx2.sizes import ClipSizes
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.positions import pack_video, unpack_video
from avits_jax.types import Candidates, Keys, Refiner

Audio = Literal["stage2", "stage1"]
FirstFrame = Literal["picture", "upsampled"]


class StageChoices(NamedTuple):
    """Where the published second stages differ, and which of them is followed.

    Attributes:
        audio: whose sound is decoded. "stage2" (ltx-pipelines 1.0.0, diffusers) by
            default, the one that was refined together with the picture; "stage1" is
            1.2.0, which throws that away.
        first_frame: what is given of a clip that begins with a picture. "picture"
            (ltx-pipelines) by default: the picture encoded at full size; "upsampled" is
            diffusers' image-to-video pipeline: the upsampled latents of the first
            stage, in the place of what is given on the grid.
        partly: what tokens begin from that are given with a strength below 1, see
            `conditioning.restarted`. "given" (1.0.0, diffusers' condition pipeline) by
            default; "latent" is 1.2.0.
    """

    audio: Audio = "stage2"
    first_frame: FirstFrame = "picture"
    partly: Partly = "given"

    def check(self) -> None:
        """Refuse words that are none of the choices."""
        kinds = (Audio, FirstFrame, Partly)
        for (name, value), kind in zip(self._asdict().items(), kinds, strict=True):
            if value not in get_args(kind):
                raise ValueError(f"{name} is {value!r}; accepted are {get_args(kind)}")


def ltx2_refiner(
    config: Networks,
    clip: ClipSizes,
    *,
    stage: StageChoices | None = None,
    choices: Choices | None = None,
    text_length: int = TEXT_LENGTH,
    decode_batch: int = 1,
    encode: Callable[[str], Prompt] | None = None,
) -> Refiner:
    """Make the second stage for clips whose first stage is half as high and wide.

    The picture's latents are upsampled, those of the sound stay as they are; both are
    brought to the level 0.909375 with fresh noise, and refined in three steps with the
    prompt alone, without guidance. The weights are distilled ones, or base weights with
    the distilled LoRA.

    Args:
        config: sizes of the networks, the upsampler's among them.
        clip: sizes of the refined clip, height and width multiples of 64.
        stage: where the published second stages differ.
        choices: see `ltx2`, likewise the others.
        text_length: token ids of a prompt.
        decode_batch: most candidates that are decoded at once.
        encode: what turns a prompt into a `Prompt`.

    Raises:
        ValueError: there is no upsampler, or an option is unknown or out of range.

    Example:
        >>> refiner = ltx2_refiner(PUBLISHED, clip)
        >>> small = ltx2(PUBLISHED, clip.halved(), DISTILLED, scales=guidance.NONE)
    """
    stage = stage or StageChoices()
    stage.check()
    if not config.upsampler:
        raise ValueError(
            "refine: the checkpoint has no upsampler; convert it again with the "
            "spatial upscaler in the source folder"
        )
    graphs, _ = networks(config)
    half = clip.halved()

    def start(
        params: Networks, keys: Keys, candidates: Candidates, cond: Condition
    ) -> Candidates:
        small = candidates.latents
        _check_small(small, half, appended=cond.given is not None)
        frames = unpack_video(small.video, half.grid)
        video = pack_video(upsampled(params, graphs, frames))
        noise = fresh_noise(keys, clip, config, cond.given)
        latents, given = Streams(video, small.audio), cond.given
        clean: Array | tuple[()] = ()
        if given is not None:
            latents = latents._replace(video=_with_appended(video, given))
        if given is not None and stage.first_frame == "upsampled":
            clean = _with_appended(video, given)
            given = given._replace(clean=given.clean._replace(video=clean))
        begun = conditioning.restarted(
            noise, latents, SECOND_STAGE[0], given, stage.partly
        )
        audio = small.audio if stage.audio == "stage1" else ()
        carries = len(audio) or len(clean)
        return Candidates(begun, Carried(audio, clean) if carries else ())

    generator = ltx2(
        config,
        clip,
        SECOND_STAGE,
        scales=guidance.NONE,
        choices=choices,
        text_length=text_length,
        decode_batch=decode_batch,
        encode=encode,
    )
    return Refiner(start, generator)


def _check_small(small: Streams, half: ClipSizes, *, appended: bool) -> None:
    """Refuse latents of another size; appended pictures may follow those of the clip.

    Raises:
        ValueError: they are not those of a clip of half the size.
    """
    video, audio = small.video.shape[1], small.audio.shape[1]
    fits = video >= half.video_tokens if appended else video == half.video_tokens
    if not fits or audio != half.audio_tokens:
        raise ValueError(
            f"candidates have {video} tokens of picture and {audio} of sound; this "
            f"second stage refines clips of {half.height}x{half.width} and "
            f"{half.num_frames} frames, of {half.video_tokens} and {half.audio_tokens}"
        )


def upsampled(
    params: Networks, graphs: Networks, latents: Float[Array, "N f h w C"]
) -> Float[Array, "N f H W C"]:
    """Return normalised latents of more pixels, float32.

    The upsampler works on latents that are not normalised; their statistics are the
    video decoder's.
    """
    decoder: Any = nnx.merge(graphs.video_decoder, params.video_decoder)
    network: Any = nnx.merge(graphs.upsampler, params.upsampler)
    return decoder.normalise(network(decoder.unnormalise(latents)))


def _with_appended(
    video: Float[Array, "N T C"], given: Given
) -> Float[Array, "N T2 C"]:
    """Return tokens of the clip with the appended ones, which are given, after them."""
    rest = given.clean.video[video.shape[1] :]
    return jnp.concatenate(
        [video, jnp.broadcast_to(rest, (len(video), *rest.shape))], 1
    )
