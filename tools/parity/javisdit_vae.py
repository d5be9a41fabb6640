"""JavisDiT's autoencoders of sound and picture against their goldens."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.generators.javisdit import params as names
from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
from avits_jax.generators.javisdit.temporal_vae import TemporalVae, TemporalVaeConfig
from avits_jax.generators.javisdit.video_vae import VideoVae, VideoVaeConfig
from avits_jax.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from avits_jax.networks.hifigan import HifiGan, HifiGanConfig
from avits_jax.nn.abstract import abstract
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

# More than any golden has; the original's None.
_ALL_FRAMES = 1 << 16


def kl_config(config: Mapping[str, Any]) -> AutoencoderKLConfig:
    """Our configuration from the original's."""
    return AutoencoderKLConfig(
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        block_channels=tuple(config["block_out_channels"]),
        layers_per_block=config["layers_per_block"],
        latent_channels=config["latent_channels"],
        norm_groups=config["norm_num_groups"],
    )


def hifigan_config(config: Mapping[str, Any]) -> HifiGanConfig:
    """Our configuration from the original's."""
    return HifiGanConfig(
        num_mels=config["model_in_dim"],
        sample_rate=config["sampling_rate"],
        channels=config["upsample_initial_channel"],
        upsample_rates=tuple(config["upsample_rates"]),
        upsample_kernels=tuple(config["upsample_kernel_sizes"]),
        resblock_kernels=tuple(config["resblock_kernel_sizes"]),
        resblock_dilations=tuple(map(tuple, config["resblock_dilation_sizes"])),
        leaky_slope=config["leaky_relu_slope"],
        normalize=config["normalize_before"],
    )


def _audio_vae(golden: Golden) -> AudioVae:
    config = AudioVaeConfig(
        kl_config(golden.info["config"]["vae"]),
        hifigan_config(golden.info["config"]["vocoder"]),
        golden.info["config"]["vae"]["scaling_factor"],
    )
    rules = names.AUDIO_VAE_RULES
    return load_module(golden, lambda rngs: AudioVae(config, rngs=rngs), rules)


@register("audio_decode*", holds=("in.latents", "config.vocoder.*"))
def run_audio_decode(golden: Golden) -> dict:
    """Latents to mel spectrogram and waveform, whole and cut."""
    length = int(golden.inputs["waveform_length"])
    mel, cut, whole = run_compiled(
        lambda model, z: (
            model.decode_mel(z),
            model.decode(z, length),
            model.decode(z),
        ),
        _audio_vae(golden),
        channels_last(golden.inputs["latents"]),
    )
    return {"mel": mel[:, None], "waveform": cut, "waveform_uncropped": whole}


@register("audio_vae*_enc*", holds=("in.mel", "config.vae.*"))
def run_audio_encode(golden: Golden) -> dict:
    """Mel spectrogram to latent moments."""
    mel = jnp.asarray(golden.inputs["mel"][:, 0])
    moments = run_compiled(AudioVae.encode_mel, _audio_vae(golden), mel)
    return {
        "mean": channels_first(moments.mean),
        "logvar": channels_first(moments.log_variance),
    }


@register(
    "manifest_audioldm2_vae*",
    holds=("state_dict.encoder.conv_in.weight", "_meta.config.latent_channels"),
)
def run_audio_vae_manifest(golden: Golden) -> dict:
    """Keys of the full-size mel autoencoder."""
    config = kl_config(golden.info["_meta"]["config"])
    like = abstract(lambda rngs: AutoencoderKL(config, rngs=rngs))[1]
    return check_manifest(golden.manifest, like, names.AUTOENCODER_KL_RULES)


@register(
    "manifest_audioldm2_vocoder*",
    holds=("state_dict.conv_pre.*", "state_dict.upsampler.0.*"),
)
def run_vocoder_manifest(golden: Golden) -> dict:
    """Keys of the full-size vocoder."""
    config = hifigan_config(golden.info["_meta"]["config"])
    like = abstract(lambda rngs: HifiGan(config, rngs=rngs))[1]
    return check_manifest(golden.manifest, like, names.HIFIGAN_RULES)


def temporal_config(config: Mapping[str, Any]) -> TemporalVaeConfig:
    """Our configuration from the original's."""
    return TemporalVaeConfig(
        channels=config["in_out_channels"],
        latent_channels=config["latent_embed_dim"],
        embed_channels=config["embed_dim"],
        width=config["filters"],
        num_blocks=config["num_res_blocks"],
        multipliers=tuple(config["channel_multipliers"]),
        downsample=tuple(config["temporal_downsample"]),
        norm_groups=config["num_groups"],
    )


def _temporal_vae(golden: Golden) -> TemporalVae:
    config = temporal_config(golden.info["config"])
    return load_module(
        golden,
        lambda rngs: TemporalVae(config, rngs=rngs),
        names.TEMPORAL_VAE_RULES,
    )


@register("temporal_vae*", holds=("in.z", "config.filters"))
def run_temporal_decode(golden: Golden) -> dict:
    """Latent frames to frames."""
    frames = int(golden.inputs["num_frames"])
    x = run_compiled(
        lambda model, z: model.decode(z, frames),
        _temporal_vae(golden),
        channels_last(golden.inputs["z"]),
    )
    return {"x": channels_first(x)}


@register("temporal_vae*_enc*", holds=("in.x", "config.filters"))
def run_temporal_encode(golden: Golden) -> dict:
    """Frames to latent moments."""
    frames = channels_last(golden.inputs["x"])
    moments = run_compiled(TemporalVae.encode, _temporal_vae(golden), frames)
    return {
        "mean": channels_first(moments.mean),
        "logvar": channels_first(moments.log_variance),
    }


class _SpatialPart(nnx.Module):
    """The image autoencoder alone, under the name that it has in the golden."""

    def __init__(self, config: VideoVaeConfig, *, rngs: nnx.Rngs):
        self.spatial = AutoencoderKL(config.spatial, rngs=rngs)
        self.config = config

    encode_spatial = VideoVae.encode_spatial
    decode_spatial = VideoVae.decode_spatial


def _spatial_vae(golden: Golden) -> _SpatialPart:
    wrapper = golden.info["config"]["wrapper"]
    config = VideoVaeConfig(
        spatial=kl_config(golden.info["config"]["autoencoder"]),
        spatial_scaling=wrapper["scaling_factor"],
        frames_at_once=wrapper["micro_batch_size"] or _ALL_FRAMES,
    )
    rules = prefixed(names.AUTOENCODER_KL_RULES, "module.", "spatial.")
    return load_module(golden, lambda rngs: _SpatialPart(config, rngs=rngs), rules)


@register("spatial_vae*", holds=("in.z", "config.autoencoder"))
def run_spatial_decode(golden: Golden) -> dict:
    """Image latents of several frames to frames."""
    latents = channels_last(golden.inputs["z"])
    x = run_compiled(_SpatialPart.decode_spatial, _spatial_vae(golden), latents)
    return {"x": channels_first(x)}


@register("spatial_vae*_enc*", holds=("in.x", "config.autoencoder"))
def run_spatial_encode(golden: Golden) -> dict:
    """Frames to image latent moments, frames folded into the batch."""
    frames = channels_last(golden.inputs["x"])
    moments = run_compiled(_SpatialPart.encode_spatial, _spatial_vae(golden), frames)
    flat = [np.asarray(m).reshape(-1, *m.shape[2:]) for m in moments]
    return {"mean": channels_first(flat[0]), "logvar": channels_first(flat[1])}


@register("opensora_vae*", holds=("in.z", "config.autoencoder", "config.temporal"))
def run_video_decode(golden: Golden) -> dict:
    """Video latents to frames, by way of image latents."""
    config = golden.info["config"]
    ours = VideoVaeConfig(
        kl_config(config["autoencoder"]),
        temporal_config(config["temporal"]),
        config["wrapper"]["scaling_factor"],
        config["micro_frame_size"] or _ALL_FRAMES,
        config["wrapper"]["micro_batch_size"] or _ALL_FRAMES,
    )
    model = load_module(
        golden, lambda rngs: VideoVae(ours, rngs=rngs), names.VIDEO_VAE_RULES
    )
    frames = int(golden.inputs["num_frames"])

    def decode(model, latents):
        x_z = model.decode_temporal(latents, frames)
        return x_z, model.decode_spatial(x_z)

    x_z, x = run_compiled(decode, model, channels_last(golden.inputs["z"]))
    return {
        "x_z": channels_first(x_z),
        "x": channels_first(x),
        "scale": Expect(model.scale[...], config["scale"], 1e-6),
        "shift": Expect(model.shift[...], config["shift"], 1e-6),
    }


@register("manifest_opensora_vae*", holds=("state_dict.temporal_vae.*",))
def run_video_vae_manifest(golden: Golden) -> dict:
    """Keys of the full-size video autoencoder."""
    spatial = kl_config(golden.info["_meta"]["spatial_config"])
    config = VideoVaeConfig(spatial=spatial)
    like = abstract(lambda rngs: VideoVae(config, rngs=rngs))[1]
    return check_manifest(golden.manifest, like, names.VIDEO_VAE_RULES)
