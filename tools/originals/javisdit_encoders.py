"""JavisDiT's encoders beside their originals: of clips, and of the prior."""

from pathlib import Path
from typing import Any
from unittest import mock

from avits_jax.generators.javisdit import params as names
from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
from avits_jax.generators.javisdit.prior import PriorConfig, PriorEncoder
from avits_jax.generators.javisdit.temporal_vae import TemporalVae, TemporalVaeConfig
from avits_jax.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from avits_jax.nn.abstract import abstract
from avits_jax.nn.gaussian import Gaussian
from tools.originals.importing import package
from tools.originals.javisdit import audio_vae, autoencoder, checkout
from tools.originals.pairs import (
    Net,
    Pair,
    draw,
    draw_ids,
    first_axis_last,
    last_axis_first,
    program,
    settle,
    torch_program,
)
from tools.originals.verifiers import FILES, imagebind_sizes

_PRIOR = "javisdit.models.prior_encoder"
_READING = f"{_PRIOR}.ImageBind.data"  # needs torchaudio, torchvision, pytorchvideo


def _moments(distribution: Any) -> tuple[Any, Any]:
    return distribution.mean, distribution.logvar


def _moments_first(found: Gaussian) -> list[Any]:
    return [last_axis_first(each) for each in found]


def spatial_encoder(folder: Path | None) -> Pair:
    """A frame to its latents; the original is diffusers' autoencoder."""
    del folder
    torch, diffusers = package("torch"), package("diffusers")
    config = AutoencoderKLConfig()
    model = settle(torch, autoencoder(diffusers, config))
    frames = draw(1, config.in_channels, 64, 64)
    graph, like = abstract(lambda rngs: AutoencoderKL(config, rngs=rngs))
    net = Net(graph, like, names.AUTOENCODER_KL_RULES)
    return Pair(
        program(net, model, AutoencoderKL.encode, first_axis_last(frames)),
        torch_program(torch, lambda x: _moments(model.encode(x).latent_dist), frames),
        _moments_first,
    )


def temporal_encoder(folder: Path | None) -> Pair:
    """Image latents of 17 frames to latents of time."""
    torch = package("torch")
    theirs = checkout(folder, "javisdit.models.vae.vae_temporal")
    config = TemporalVaeConfig()
    model = settle(torch, theirs.VAE_Temporal_SD())
    latents = draw(1, config.channels, 17, 16, 16)
    graph, like = abstract(lambda rngs: TemporalVae(config, rngs=rngs))
    net = Net(graph, like, names.TEMPORAL_VAE_RULES)
    return Pair(
        program(net, model, TemporalVae.encode, first_axis_last(latents)),
        torch_program(torch, lambda x: _moments(model.encode(x)), latents),
        _moments_first,
    )


def audio_encoder(folder: Path | None) -> Pair:
    """A spectrogram to its latents; the original is diffusers' autoencoder."""
    del folder
    torch, config = package("torch"), AudioVaeConfig()
    model, net = audio_vae(config)
    mel = draw(1, 1, 32, config.vocoder.num_mels)

    def ours(model: AudioVae, mel: Any) -> Gaussian:
        return model.encode_mel(mel[:, 0])

    def original(mel: Any) -> Any:
        return _moments(model.vae.encode(mel).latent_dist)

    return Pair(
        program(net, model, ours, mel),
        torch_program(torch, original, mel),
        _moments_first,
    )


def prior_encoder(folder: Path | None) -> Pair:
    """A text of full length to the moments of its prior, nothing drawn.

    torch's fused layer, as fast on a CPU, is left out: it has erf's GELU where tanh's
    is asked for.
    """
    torch = package("torch")
    bound, sizes = imagebind_sizes("text")
    extra = {"bare": (_PRIOR,), "stand_ins": (_READING, *FILES)}
    imagebind = checkout(folder, f"{_PRIOR}.ImageBind.models.imagebind_model", **extra)
    theirs = checkout(folder, f"{_PRIOR}.stib", **extra)
    config = PriorConfig(bound)
    text = imagebind.ImageBindModel(**sizes), bound.text.width
    with mock.patch.object(imagebind, "imagebind_huge", lambda **_: text):
        made = theirs.STIBPriorExtractor(theirs.STIBPriorExtractorConfig())
    model = settle(torch, made)
    graph, like = abstract(lambda rngs: PriorEncoder(config, rngs=rngs))
    net = Net(graph, like, names.PRIOR_RULES, names.PRIOR_IGNORED)
    ids = draw_ids(bound.vocab_size - 2, 1, bound.context_length)
    ids[:, -1] = bound.vocab_size - 1

    def original(ids: Any) -> Any:
        torch.backends.mha.set_fastpath_enabled(False)
        found = model.encode({"ib_text": ids}, calc_loss=True)["posterior"]
        torch.backends.mha.set_fastpath_enabled(True)
        return _moments(found)

    return Pair(
        program(net, model, PriorEncoder.__call__, ids),
        torch_program(torch, original, ids),
        list,
    )
