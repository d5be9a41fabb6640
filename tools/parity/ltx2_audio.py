"""LTX-2's sound autoencoder and vocoders against their goldens."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from avits_jax.generators.ltx2.audio_vae import params as audio_names
from avits_jax.generators.ltx2.audio_vae.config import AudioVaeConfig
from avits_jax.generators.ltx2.audio_vae.modeling import (
    AudioDecoder,
    AudioEncoder,
    log_mel,
)
from avits_jax.generators.ltx2.vocoder import params as vocoder_names
from avits_jax.generators.ltx2.vocoder.config import LTX_2_0, VocoderConfig
from avits_jax.generators.ltx2.vocoder.modeling import Vocoder
from avits_jax.networks.hifigan import HifiGanConfig
from avits_jax.nn.abstract import abstract
from tools.parity.golden import Golden, strip_prefix
from tools.parity.manifests import check_manifest
from tools.parity.modules import channels_first, load_module, run_compiled
from tools.parity.registry import register


def audio_vae_config(config: Mapping[str, Any]) -> AudioVaeConfig:
    """Our configuration from the original's."""
    return AudioVaeConfig(
        channels=config["in_channels" if "in_channels" in config else "out_ch"],
        num_mels=config["mel_bins"],
        width=config["ch"],
        multipliers=tuple(config["ch_mult"]),
        blocks=config["num_res_blocks"],
        latent_channels=config["z_channels"],
        sample_rate=config.get("sample_rate", 16_000),
        n_fft=config.get("n_fft", 1024),
        hop=config.get("mel_hop_length", 160),
    )


def generator_config(
    config: Mapping[str, Any], weights: Mapping[str, Any]
) -> HifiGanConfig:
    """Our configuration of one of the vocoder's networks from the original's.

    Bands and channels are fixed in the original; they are read off its weights.
    """
    leaky = config["resblock"] == "1"
    return HifiGanConfig(
        num_mels=weights["conv_pre.weight"].shape[1],
        out_channels=weights["conv_post.weight"].shape[0],
        sample_rate=config["output_sampling_rate"],
        channels=config["upsample_initial_channel"],
        upsample_rates=tuple(config["upsample_rates"]),
        upsample_kernels=tuple(config["upsample_kernel_sizes"]),
        resblock_kernels=tuple(config["resblock_kernel_sizes"]),
        resblock_dilations=tuple(map(tuple, config["resblock_dilation_sizes"])),
        activation="leaky" if leaky else config["activation"],
        last_bias=config.get("use_bias_at_final", True),
        tanh=config.get("use_tanh_at_final", True),
        statistics=False,
    )


def vocoder_config(golden: Golden) -> VocoderConfig:
    """Our configuration from the original's, with an extension or without."""
    config, weights = golden.info["constructor"], golden.weights
    if "bwe" not in config:
        return VocoderConfig(base=generator_config(config, weights), extends=False)
    return VocoderConfig(
        base=generator_config(config["vocoder"], strip_prefix(weights, "vocoder.")),
        extension=generator_config(
            config["bwe"], strip_prefix(weights, "bwe_generator.")
        ),
        clamp=config["vocoder"].get("apply_final_activation", True),
        n_fft=config["mel_stft"]["n_fft"],
        hop=config["mel_stft"]["hop_length"],
    )


def check_manifest_parts(sections: Mapping[str, Mapping[str, Any]]) -> dict:
    """Keys of the sound's networks among the sections of a manifest, single-file names.

    Returns:
        Section -> what `check_manifest` gives; other sections are left to others.
    """
    found: dict[str, Any] = {}
    for name in ("audio_vae_decoder", "audio_vae_encoder"):
        if name in sections:
            part = name.removeprefix("audio_vae_")
            entries = _stripped(sections[name], "audio_vae.", f"{part}.")
            make, rules = _AUDIO_VAES[part]
            found |= {name: check_manifest(entries, abstract(make)[1], rules)["keys"]}
    if "vocoder" in sections:
        entries = _stripped(sections["vocoder"], "vocoder.")
        extends = "mel_stft.mel_basis" in entries
        config = VocoderConfig() if extends else LTX_2_0
        like = abstract(lambda rngs: Vocoder(config, rngs=rngs))
        found["vocoder"] = check_manifest(entries, like[1], *_vocoder_names(config))[
            "keys"
        ]
    return found


_AUDIO_VAES = {
    "decoder": (
        lambda rngs: AudioDecoder(AudioVaeConfig(), rngs=rngs),
        audio_names.DECODER_RULES,
    ),
    "encoder": (
        lambda rngs: AudioEncoder(AudioVaeConfig(), rngs=rngs),
        audio_names.ENCODER_RULES,
    ),
}


def _stripped(entries: Mapping[str, Any], *prefixes: str) -> dict[str, Any]:
    """Entries without prefixes, each taken off once."""
    for prefix in prefixes:
        entries = {key.removeprefix(prefix): each for key, each in entries.items()}
    return dict(entries)


def _vocoder_names(config: VocoderConfig) -> tuple[Any, Mapping[str, str]]:
    """Rules of a vocoder, and what they leave out."""
    if config.extends:
        return vocoder_names.RULES, vocoder_names.IGNORED
    return vocoder_names.RULES_2_0, {}


def _tokens(latents: np.ndarray) -> Array:
    """Latents ``[N, C, T, F]`` as tokens ``[N, T, C F]``."""
    moved = jnp.swapaxes(jnp.asarray(latents), 1, 2)
    return moved.reshape(*moved.shape[:2], -1)


def _latents(tokens: Array, config: AudioVaeConfig) -> Array:
    """Undo `_tokens`."""
    shape = (config.latent_channels, config.latent_bins)
    return jnp.swapaxes(tokens.reshape(*tokens.shape[:2], *shape), 1, 2)


@register("audio_vae_decoder*", holds=("in.latent", "constructor.ch_mult"))
def run_audio_decoder(golden: Golden) -> dict:
    """Latents to a spectrogram, with every upsampling on the way."""
    config = audio_vae_config(golden.info["constructor"])
    model = load_module(
        golden,
        lambda rngs: AudioDecoder(config, rngs=rngs),
        audio_names.DECODER_RULES,
    )
    first, *levels, _, mel = run_compiled(
        lambda model, z: (*model.stages(z), model.decode(z)),
        model,
        _tokens(golden.inputs["latent"]),
    )
    names = [f"upsample{i}" for i in range(len(levels), 0, -1)]
    stages = zip(["conv_in", *names], [first, *levels], strict=True)
    return {"mel": mel} | {name: channels_first(x) for name, x in stages}


def _encoded(model: AudioEncoder, mel: Array) -> list[Array]:
    return [*model.stages(mel), model.encode_mel(mel)]


@register("audio_vae_encoder*", holds=("in.mel*", "in.wave*", "constructor.ch_mult"))
def run_audio_encoder(golden: Golden) -> dict:
    """Waveforms to spectrograms, and both to latents."""
    config = audio_vae_config(golden.info["constructor"])
    model = load_module(
        golden,
        lambda rngs: AudioEncoder(config, rngs=rngs),
        audio_names.ENCODER_RULES,
    )
    halvings = [f"downsample{i}" for i in range(len(config.multipliers) - 1)]
    names = ["conv_in", *halvings, "mid", "conv_out"]
    results: dict[str, Any] = {}
    for case, array in golden.inputs.items():
        if case.startswith("mel"):
            *stages, tokens = run_compiled(_encoded, model, array)
            for name, x in zip(names, stages, strict=True):
                if f"{case}.{name}" in golden.outputs:
                    results[f"{case}.{name}"] = channels_first(x)
        else:
            rate = 1000 * int(case.removeprefix("wave"))
            bands = replace(config, num_mels=64)
            results[f"{case}.mel64"] = log_mel(array, rate, bands)
            if f"{case}.latent" not in golden.outputs:
                continue
            tokens = run_compiled(lambda m, x, r=rate: m.encode(x, r), model, array)
        results[f"{case}.latent"] = _latents(tokens, config)
    return results


def _vocoder(golden: Golden) -> Vocoder:
    config = vocoder_config(golden)
    names = _vocoder_names(config)
    return load_module(golden, lambda rngs: Vocoder(config, rngs=rngs), *names)


@register("vocoder_2_0*", holds=("in.mel", "constructor.upsample_rates"))
def run_vocoder(golden: Golden) -> dict:
    """A spectrogram to the waveform of LTX-2."""
    return {
        "waveform": run_compiled(
            Vocoder.__call__, _vocoder(golden), golden.inputs["mel"]
        )
    }


@register("vocoder_2_3*", holds=("in.mel", "in.mel_loud", "constructor.bwe"))
def run_extending_vocoder(golden: Golden) -> dict:
    """Spectrograms, a loud one among them, to LTX-2.3's waveforms and all between."""
    mels = jnp.concatenate([golden.inputs["mel"], golden.inputs["mel_loud"]])
    both = run_compiled(Vocoder.stages, _vocoder(golden), mels)
    count = len(golden.inputs["mel"])
    usual, loud = (type(both)(*(x[part] for x in both)) for part in _halves(count))
    return {
        "lowrate_waveform": usual.low,
        "bwe_mel": usual.mel,
        "residual": usual.residual,
        "skip": usual.skip,
        "waveform": usual.waveform,
        "loud.lowrate_waveform": loud.low,
        "loud.waveform": loud.waveform,
    }


def _halves(count: int) -> tuple[slice, slice]:
    return slice(count), slice(count, None)
