"""LTX-2's video decoder and encoder, and its pictures, against their goldens."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.generators.ltx2.pictures import cover
from avits_jax.generators.ltx2.video_vae import params as names
from avits_jax.generators.ltx2.video_vae.config import (
    LTX2_DECODER,
    LTX2_ENCODER,
    Resample,
    VideoDecoderConfig,
    VideoEncoderConfig,
)
from avits_jax.generators.ltx2.video_vae.modeling import (
    VideoDecoder,
    VideoEncoder,
    build_decoder,
    build_encoder,
)
from avits_jax.nn.pictures import to_levels
from avits_jax.weights.name_map import prefixed
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.modules import (
    channels_first,
    channels_last,
    load_module,
    run_compiled,
)
from tools.parity.registry import register

_STRIDES = {
    "compress_all": (2, 2, 2),
    "compress_time": (2, 1, 1),
    "compress_space": (1, 2, 2),
}
# ltx-core's first stage, over ``base_channels``.
_FIRST = 8


def _stages(blocks: list) -> tuple[tuple[int, ...], tuple[Resample, ...]]:
    """Depths and resamplings of a list of blocks in the order in which they run."""
    depths = tuple(sizes["num_layers"] for _, sizes in blocks[::2])
    resamples = tuple(
        Resample(
            _STRIDES[kind.removesuffix("_res")],
            sizes["multiplier"],
            kind.endswith("_res") or sizes.get("residual", False),
        )
        for kind, sizes in blocks[1::2]
    )
    if any(kind != "res_x" for kind, _ in blocks[::2]):
        raise ValueError(f"stages and resamplings do not take turns: {blocks}")
    return depths, resamples


def decoder_config(constructor: Mapping[str, Any]) -> VideoDecoderConfig:
    """Our sizes of the decoder from the original's."""
    if constructor["causal"]:
        raise ValueError("a causal decoder is none of LTX-2")
    depths, resamples = _stages(constructor["decoder_blocks"][::-1])
    return VideoDecoderConfig(
        latent_channels=constructor["in_channels"],
        width=_FIRST * constructor["base_channels"],
        depths=depths,
        resamples=resamples,
        channels=constructor["out_channels"],
        patch=constructor["patch_size"],
        reflect=constructor["spatial_padding_mode"] == "reflect",
        conditioned=constructor["timestep_conditioning"],
    )


def encoder_config(constructor: Mapping[str, Any]) -> VideoEncoderConfig:
    """Our sizes of the encoder from the original's."""
    depths, resamples = _stages(constructor["encoder_blocks"])
    return VideoEncoderConfig(
        latent_channels=constructor["out_channels"],
        width=constructor["out_channels"],
        depths=depths,
        resamples=resamples,
        channels=constructor["in_channels"],
        patch=constructor["patch_size"],
    )


@register("video_vae_decoder*", holds=("in.latent0", "constructor.decoder_blocks"))
def run_video_decoder(golden: Golden) -> dict:
    """Latents to frames, every block of the first case, and its bytes."""
    config = decoder_config(golden.info["constructor"])
    decoder = load_module(
        golden, lambda rngs: VideoDecoder(config, rngs=rngs), names.DECODER_RULES
    )

    def decode(model, latents):
        stages = list(model.stages(latents))
        return model.frames(stages[-1]), stages

    results: dict[str, Any] = {}
    for name, latent in golden.inputs.items():
        number = name.removeprefix("latent")
        run = decode if number == "0" else lambda model, z: (model.decode(z), [])
        video, stages = run_compiled(run, decoder, channels_last(latent))
        results[f"video{number}"] = channels_first(video)
        if f"uint8_frames{number}" in golden.outputs:
            results |= _compare_levels(golden, f"uint8_frames{number}", video[0])
        if stages and "conv_in" in golden.outputs:
            results |= _named(stages, "up_block")
    return results


@register("video_vae_encoder*", holds=("in.clip_uint8", "constructor.encoder_blocks"))
def run_video_encoder(golden: Golden) -> dict:
    """Frames to latents: a clip with every block, pictures, an odd length."""
    config = encoder_config(golden.info["constructor"])
    encoder = load_module(
        golden, lambda rngs: VideoEncoder(config, rngs=rngs), names.ENCODER_RULES
    )

    def encode(model, video):
        stages = list(model.stages(video))
        moments = model.moments(stages[-1])
        return model.normalise(moments[..., :-1]), stages, moments

    results: dict[str, Any] = {}
    for name, frames in golden.inputs.items():
        case = name.removesuffix("_uint8")
        video = jnp.asarray(frames, jnp.float32) / 127.5 - 1
        if case != "clip":
            latent = run_compiled(VideoEncoder.encode, encoder, video)
            results[f"{case}.latent"] = channels_first(latent)
            continue
        latent, stages, moments = run_compiled(encode, encoder, video)
        results |= _named(stages, "down_block")
        results["latent"] = channels_first(latent)
        results["conv_out"] = channels_first(moments)
        results["means"] = channels_first(moments[..., :-1])
    return results


def _compare_levels(golden: Golden, name: str, video: Any) -> dict[str, Expect]:
    """Frames as whole levels, and how many are off: an edge can fall between them."""
    levels = np.asarray(to_levels((video + 1) / 2, truncate=True))
    off = np.mean(levels != golden.outputs[name])
    return {
        name: Expect(levels, atol=1.0),
        f"{name}, share that is off": Expect(off, 0.0, 1e-3),
    }


def _named(stages: list, block: str) -> dict[str, Any]:
    first, *blocks = (channels_first(each) for each in stages)
    return {"conv_in": first} | {f"{block}{i}": each for i, each in enumerate(blocks)}


_MANIFESTS = {
    "19b": ("video_vae_decoder", LTX2_DECODER, "vae.decoder."),
    "22b": ("video_vae_decoder", VideoDecoderConfig(), "vae.decoder."),
    "encoder_2_0": ("video_vae_encoder_2_0", LTX2_ENCODER, "vae.encoder."),
    "encoder_2_3": ("video_vae_encoder_2_3", VideoEncoderConfig(), "vae.encoder."),
}


def check_video_manifest(golden: Golden, which: str) -> dict[str, Expect]:
    """Keys of a full-size decoder or encoder in the single file's layout.

    ``which`` is "19b" or "22b" for a decoder, "encoder_2_0" or "encoder_2_3".
    """
    part, config, prefix = _MANIFESTS[which]
    if isinstance(config, VideoDecoderConfig):
        like, rules = build_decoder(config)[1], names.DECODER_RULES
    else:
        like, rules = build_encoder(config)[1], names.ENCODER_RULES
    statistics = [r for r in rules if r.target in ("mean", "std")]
    others = [r for r in rules if r not in statistics]
    both = (*prefixed(statistics, "vae."), *prefixed(others, prefix))
    return check_manifest(golden.manifest[part], like, both)


def cover_pictures(golden: Golden) -> dict[str, Any]:
    """Results of ``out.image_HxW``: a picture at three sizes, in [-1, 1]."""
    image = jnp.asarray(golden.inputs["image_uint8"], jnp.float32) / 255
    results = {}
    for name in golden.outputs:
        if name.startswith("image_"):
            height, width = map(int, name.removeprefix("image_").split("x"))
            picture = 2 * cover(image, height, width) - 1
            results[name] = channels_first(picture[None, None])
    return results
