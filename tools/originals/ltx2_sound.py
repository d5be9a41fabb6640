"""LTX-2's networks of sound beside diffusers' classes."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.converting import ltx2_names
from avits_jax.generators.ltx2.audio_vae import params as audio_names
from avits_jax.generators.ltx2.audio_vae.config import AudioVaeConfig
from avits_jax.generators.ltx2.audio_vae.modeling import AudioDecoder, AudioEncoder
from avits_jax.generators.ltx2.vocoder import params as vocoder_names
from avits_jax.generators.ltx2.vocoder.config import LTX_2_0 as VOCODER_2_0
from avits_jax.generators.ltx2.vocoder.config import VocoderConfig
from avits_jax.generators.ltx2.vocoder.modeling import Vocoder
from avits_jax.nn.abstract import abstract
from tools.originals.importing import package
from tools.originals.ltx2 import pipelines, translated
from tools.originals.pairs import (
    Net,
    Pair,
    draw,
    program,
    settle,
    torch_program,
)

_SOUND = 26  # tokens of a second


def audio_decoder(folder: Path | None) -> Pair:
    """A second of sound to its spectrogram."""
    del folder
    torch, diffusers = package("torch"), package("diffusers")
    config = AudioVaeConfig()
    model = settle(torch, diffusers.AutoencoderKLLTX2Audio())
    graph, like = abstract(lambda rngs: AudioDecoder(config, rngs=rngs))
    part = partial(translated, "audio_vae", ltx2_names.AUDIO_DECODER)
    net = Net(graph, like, audio_names.DECODER_RULES, None, part)
    latents = draw(1, config.latent_channels, _SOUND, config.latent_bins)
    tokens = np.moveaxis(latents, 1, 2).reshape(1, _SOUND, -1)
    return Pair(
        program(net, model, AudioDecoder.decode, tokens),
        torch_program(torch, lambda z: model.decode(z).sample, latents),
        np.asarray,
    )


def audio_encoder(folder: Path | None) -> Pair:
    """The spectrogram of a second to its latents."""
    del folder
    torch, diffusers = package("torch"), package("diffusers")
    config = AudioVaeConfig()
    model = settle(torch, diffusers.AutoencoderKLLTX2Audio())
    graph, like = abstract(lambda rngs: AudioEncoder(config, rngs=rngs))
    part = partial(translated, "audio_vae", ltx2_names.AUDIO_ENCODER)
    net = Net(graph, like, audio_names.ENCODER_RULES, None, part)
    mel = draw(1, config.channels, config.sample_rate // config.hop, config.num_mels)

    def latents(tokens: Any) -> np.ndarray:
        shape = (*tokens.shape[:2], config.latent_channels, config.latent_bins)
        return np.moveaxis(np.asarray(tokens).reshape(shape), 1, 2)

    return Pair(
        program(net, model, AudioEncoder.encode_mel, mel),
        torch_program(torch, lambda x: model.encode(x).latent_dist.mode(), mel),
        latents,
    )


def vocoder(folder: Path | None) -> Pair:
    """LTX-2.3's vocoder; without the clamp, which diffusers lacks."""
    del folder
    made = pipelines().LTX2VocoderWithBWE
    names = vocoder_names.RULES, vocoder_names.IGNORED
    return _vocoder(VocoderConfig(clamp=False), made, *names)


def vocoder_2_0(folder: Path | None) -> Pair:
    """LTX-2's vocoder."""
    del folder
    return _vocoder(VOCODER_2_0, pipelines().LTX2Vocoder, vocoder_names.RULES_2_0)


def _vocoder(config: VocoderConfig, made: Any, *names: Any) -> Pair:
    """Spectrograms of 0.2 s to their sound."""
    torch = package("torch")
    model = settle(torch, made())
    graph, like = abstract(lambda rngs: Vocoder(config, rngs=rngs))
    part = partial(translated, "vocoder", ltx2_names.VOCODER)
    net = Net(graph, like, *names)._replace(translate=part)
    mel = draw(1, config.channels, 20, config.num_mels)
    return Pair(
        program(net, model, Vocoder.__call__, mel),
        torch_program(torch, model, mel),
        np.asarray,
    )
