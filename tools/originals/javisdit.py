"""JavisDiT's networks beside their originals."""

from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.generators.javisdit import params as names
from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.modeling import Transformer
from avits_jax.generators.javisdit.temporal_vae import TemporalVae, TemporalVaeConfig
from avits_jax.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from avits_jax.networks.hifigan import HifiGanConfig
from avits_jax.nn.abstract import abstract
from tools.originals.importing import package, source
from tools.originals.pairs import (
    Net,
    Pair,
    draw,
    first_axis_last,
    last_axis_first,
    program,
    settle,
    torch_program,
)

_NAME = "JavisDiT"
_BARE = ("javisdit", "javisdit.models", "javisdit.models.stdit", "javisdit.models.vae")
_STAND_INS = ("javisdit.registry", "javisdit.utils.ckpt_utils", "javisdit.utils.misc")
_FPS, _PIXELS = 24.0, (64, 128)


def checkout(
    folder: Path | None,
    module: str,
    *,
    bare: tuple[str, ...] = (),
    stand_ins: tuple[str, ...] = (),
) -> Any:
    """Import a module of the original's checkout, see `source`."""
    return source(
        folder,
        _NAME,
        module,
        bare=(*_BARE, *bare),
        stand_ins=(*_STAND_INS, *stand_ins),
    )


def original_transformer(
    folder: Path | None, config: TransformerConfig, *, flash: bool = False
) -> Any:
    """Return the original's transformer of our sizes, weights drawn as it draws them.

    Args:
        folder: that holds checkouts.
        config: sizes.
        flash: as published, attention within a stream by flash_attn, where there are
            more tokens than rows.

    Raises:
        NotThere: see `source`.
    """
    theirs = checkout(folder, "javisdit.models.stdit.vastdit3")
    sizes = theirs.VASTDiT3Config(enable_flash_attn=flash, **constructor(config))
    return theirs.VASTDiT3(sizes)


def constructor(config: TransformerConfig) -> dict[str, Any]:
    """What the original's class takes for our sizes."""
    return {
        "in_channels": config.video_channels,
        "audio_in_channels": config.audio_channels,
        "patch_size": config.video_patch,
        "audio_patch_size": config.audio_patch,
        "hidden_size": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "mlp_ratio": config.mlp_ratio,
        "caption_channels": config.text_width,
        "model_max_length": config.text_length,
        "st_prior_channel": config.prior_width,
        "spatial_prior_len": config.spatial_tokens,
        "temporal_prior_len": config.temporal_tokens,
        "input_sq_size": config.base_size,
    }


def transformer(folder: Path | None) -> Pair:
    """One pass on a pair of samples, the prompt's keys and values made in it, too."""
    torch = package("torch")
    config = TransformerConfig(depth=1)
    model = original_transformer(folder, config)
    rows, (height, width) = 2, _PIXELS
    video = draw(rows, config.video_channels, 5, height // 8, width // 8)
    audio = draw(rows, config.audio_channels, 16, 16)
    text = draw(rows, 1, config.text_length, config.text_width)
    priors = [
        draw(rows, count, config.prior_width)
        for count in (config.spatial_tokens, config.temporal_tokens)
    ]
    times = np.full(rows, 500.0, np.float32)

    def original(video, audio, text, spatial, temporal, times):
        found = model(
            {"video": video, "audio": audio},
            times,
            text,
            fps=torch.full((rows,), _FPS)[:1],
            height=torch.full((rows,), float(height)),
            width=torch.full((rows,), float(width)),
            spatial_prior=spatial,
            temporal_prior=temporal,
        )
        return found["video"], found["audio"]

    def ours(model, video, audio, text, spatial, temporal, times):
        context = model.prepare(text[:, 0], None, spatial, temporal, "batch")
        fps = jnp.full(rows, _FPS)
        clip = {"fps": fps, "height": float(height), "width": float(width)}
        return model(video, audio, times, context, **clip)[0]

    settle(torch, model)
    graph, like = abstract(lambda rngs: Transformer(config, rngs=rngs))
    net = Net(graph, like, names.TRANSFORMER_RULES)
    latents = first_axis_last(video), first_axis_last(audio)
    return Pair(
        program(net, model, ours, *latents, text, *priors, times),
        torch_program(torch, original, video, audio, text, *priors, times),
        lambda found: [last_axis_first(each) for each in found],
    )


def autoencoder(diffusers: Any, config: AutoencoderKLConfig) -> Any:
    """Diffusers' autoencoder of our sizes."""
    levels = len(config.block_channels)
    return diffusers.AutoencoderKL(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.block_channels,
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_groups,
    )


def spatial_decoder(folder: Path | None) -> Pair:
    """Frames of image latents; the original is diffusers' autoencoder."""
    del folder
    torch, diffusers = package("torch"), package("diffusers")
    config = AutoencoderKLConfig()
    model = settle(torch, autoencoder(diffusers, config))
    latents = draw(1, config.latent_channels, 8, 8)
    graph, like = abstract(lambda rngs: AutoencoderKL(config, rngs=rngs))
    net = Net(graph, like, names.AUTOENCODER_KL_RULES)
    return Pair(
        program(net, model, AutoencoderKL.decode, first_axis_last(latents)),
        torch_program(torch, lambda z: model.decode(z).sample, latents),
        last_axis_first,
    )


def temporal_decoder(folder: Path | None) -> Pair:
    """A chunk of 17 frames of image latents."""
    torch = package("torch")
    theirs = checkout(folder, "javisdit.models.vae.vae_temporal")
    config, frames = TemporalVaeConfig(), 17
    model = settle(torch, theirs.VAE_Temporal_SD())
    latents = draw(1, config.embed_channels, config.latent_frames(frames), 16, 16)
    graph, like = abstract(lambda rngs: TemporalVae(config, rngs=rngs))
    net = Net(graph, like, names.TEMPORAL_VAE_RULES)
    return Pair(
        program(
            net,
            model,
            lambda model, z: model.decode(z, frames),
            first_axis_last(latents),
        ),
        torch_program(torch, partial(model.decode, num_frames=frames), latents),
        last_axis_first,
    )


def audio_decoder(folder: Path | None) -> Pair:
    """A spectrogram of latents, and its waveform, as AudioLDM2's pipeline makes it."""
    del folder
    torch, config = package("torch"), AudioVaeConfig()
    model, net = audio_vae(config)
    latents = draw(
        1, config.vae.latent_channels, 8, config.vocoder.num_mels // config.factor
    )

    def original(latents):
        mel = model.vae.decode(latents / config.scaling_factor).sample
        return model.vocoder(mel.squeeze(1))

    return Pair(
        program(net, model, AudioVae.decode, first_axis_last(latents)),
        torch_program(torch, original, latents),
        np.asarray,
    )


def audio_vae(config: AudioVaeConfig) -> tuple[Any, Net]:
    """AudioLDM2's autoencoder and vocoder in one module, and our network."""
    torch, diffusers = package("torch"), package("diffusers")
    model = torch.nn.Module()
    model.vae = autoencoder(diffusers, config.vae)
    model.vocoder = package("transformers").SpeechT5HifiGan(
        package("transformers").SpeechT5HifiGanConfig(**hifigan_options(config.vocoder))
    )
    graph, like = abstract(lambda rngs: AudioVae(config, rngs=rngs))
    return settle(torch, model), Net(graph, like, names.AUDIO_VAE_RULES)


def hifigan_options(config: HifiGanConfig) -> dict[str, Any]:
    """What transformers' class takes for our sizes."""
    return {
        "model_in_dim": config.num_mels,
        "sampling_rate": config.sample_rate,
        "upsample_initial_channel": config.channels,
        "upsample_rates": list(config.upsample_rates),
        "upsample_kernel_sizes": list(config.upsample_kernels),
        "resblock_kernel_sizes": list(config.resblock_kernels),
        "resblock_dilation_sizes": [list(x) for x in config.resblock_dilations],
        "leaky_relu_slope": config.leaky_slope,
        "normalize_before": config.normalize,
    }
