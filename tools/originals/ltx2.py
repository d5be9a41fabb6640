"""LTX-2's networks beside diffusers' classes and TAEHV."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.converting import ltx2_names
from avits_jax.generators.ltx2.audio_vae import params as audio_names
from avits_jax.generators.ltx2.audio_vae.config import AudioVaeConfig
from avits_jax.generators.ltx2.audio_vae.modeling import AudioDecoder
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer import positions
from avits_jax.generators.ltx2.transformer.config import StreamConfig, TransformerConfig
from avits_jax.generators.ltx2.transformer.modeling import Transformer
from avits_jax.generators.ltx2.transformer.params import RULES as TRANSFORMER_RULES
from avits_jax.generators.ltx2.transformer.rotary import rotary_tables
from avits_jax.generators.ltx2.video_vae import params as video_names
from avits_jax.generators.ltx2.video_vae.config import LTX2_DECODER
from avits_jax.generators.ltx2.video_vae.modeling import VideoDecoder, build_decoder
from avits_jax.generators.ltx2.vocoder import params as vocoder_names
from avits_jax.generators.ltx2.vocoder.config import VocoderConfig
from avits_jax.generators.ltx2.vocoder.modeling import Vocoder
from avits_jax.networks.taehv import params as taehv_names
from avits_jax.networks.taehv.config import TaehvConfig
from avits_jax.networks.taehv.modeling import TaehvDecoder
from avits_jax.nn.abstract import abstract
from tools import ltx2_originals
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

_FPS = 24.0
_LEVEL = 0.5
_GRID, _SOUND, _TEXT = (3, 4, 6), 26, 128


def translated(folder: str, part: str, state: dict[str, Any]) -> dict[str, Any]:
    """One part's weights of a diffusers module under the names of our rules."""
    homes = ltx2_names.diffusers(folder, state)
    return {
        home.name: state[key]
        for key, home in homes.items()
        if home is not None and part in home.parts and not home.why
    }


def transformer(folder: Path | None) -> Pair:
    """One pass of a block of half the published width."""
    del folder
    torch, diffusers = package("torch"), package("diffusers")
    config = TransformerConfig(
        StreamConfig(heads=16),
        StreamConfig(heads=16, head_width=64, limits=(20.0,)),
        depth=1,
        perturbed_block=0,
    )
    made = diffusers.LTX2VideoTransformer3DModel
    model = settle(torch, made(**ltx2_originals.constructor(config)))
    graph, like = abstract(lambda rngs: Transformer(config, rngs=rngs))
    part = partial(translated, "transformer", ltx2_names.TRANSFORMER)
    net = Net(graph, like, TRANSFORMER_RULES, None, part)
    video = draw(1, int(np.prod(_GRID)), config.video.channels)
    audio = draw(1, _SOUND, config.audio.channels)
    texts = [draw(1, _TEXT, each.width) for each in (config.video, config.audio)]
    tables = rotary_tables(
        config,
        positions.video_positions(_GRID, _FPS),
        positions.audio_positions(_SOUND),
    )
    rope = {
        "video_coords": model.rope.prepare_video_coords(1, *_GRID, "cpu", fps=_FPS),
        "audio_coords": model.audio_rope.prepare_audio_coords(1, _SOUND, "cpu"),
    }
    level = torch.full((1,), _LEVEL * config.time_scale)

    def original(video, audio, text, heard):
        return model(
            hidden_states=video,
            audio_hidden_states=audio,
            encoder_hidden_states=text,
            audio_encoder_hidden_states=heard,
            timestep=level,
            sigma=level,
            use_cross_timestep=config.text_modulated,
            return_dict=False,
            **rope,
        )

    def ours(model, video, audio, text, heard):
        now = jnp.full((1,), _LEVEL)
        context = model.prepare_context(Streams(text, heard))
        both = Streams(now[:, None], now[:, None])
        pair, sigmas = Streams(video, audio), Streams(now, now)
        return tuple(model(pair, both, None, sigmas, context, tables))

    arrays = (video, audio, *texts)
    return Pair(
        program(net, model, ours, *arrays),
        torch_program(torch, original, *arrays),
        lambda found: [np.asarray(each) for each in found],
    )


def video_decoder(folder: Path | None) -> Pair:
    """LTX-2's decoder of pictures: 9 frames of 256x384 pixels."""
    del folder
    torch, diffusers = package("torch"), package("diffusers")
    config = replace(LTX2_DECODER, depths=(1,) * len(LTX2_DECODER.depths))
    encoder = {"block_out_channels": (8,) * 4, "layers_per_block": (1,) * 5}
    made = diffusers.AutoencoderKLLTX2Video(
        # As published; by its default it is causal, whatever `decode` is told.
        decoder_causal=False,
        decoder_layers_per_block=config.depths,
        **encoder,
    )
    model = settle(torch, made)
    part = partial(translated, "vae", ltx2_names.VIDEO_DECODER)
    net = Net(
        *build_decoder(config),
        video_names.DECODER_RULES,
        video_names.IGNORED,
        part,
    )
    latents = draw(1, config.latent_channels, 2, 8, 12)
    return Pair(
        program(net, model, VideoDecoder.decode, first_axis_last(latents)),
        torch_program(torch, lambda z: model.decode(z, causal=False).sample, latents),
        last_axis_first,
    )


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


def vocoder(folder: Path | None) -> Pair:
    """LTX-2.3's vocoder on 0.2 s; without the clamp, which diffusers lacks."""
    del folder
    torch = package("torch")
    made = _pipelines().LTX2VocoderWithBWE
    config = VocoderConfig(clamp=False)
    model = settle(torch, made())
    graph, like = abstract(lambda rngs: Vocoder(config, rngs=rngs))
    part = partial(translated, "vocoder", ltx2_names.VOCODER)
    rules = vocoder_names.RULES
    net = Net(graph, like, rules, vocoder_names.IGNORED, part)
    mel = draw(1, config.channels, 20, config.num_mels)
    return Pair(
        program(net, model, Vocoder.__call__, mel),
        torch_program(torch, model, mel),
        np.asarray,
    )


def _pipelines() -> Any:
    package("diffusers")
    return importlib.import_module("diffusers.pipelines.ltx2")


def taehv(folder: Path | None) -> Pair:
    """The small decoder of LTX-2's latents: 17 frames of 128x192 pixels."""
    torch = package("torch")
    theirs = source(folder, "taehv", "taehv")
    config = TaehvConfig()
    model = settle(
        torch,
        theirs.TAEHV(
            None,
            (True,) * 3,
            (True,) * 3,
            patch_size=config.patch,
            latent_channels=config.latent_channels,
        ),
    )
    net = Net(*taehv_names.build(config), taehv_names.RULES, taehv_names.IGNORED)
    latents = draw(1, 3, config.latent_channels, 4, 6)
    decode: Callable[..., Any] = partial(model.decode_video, show_progress_bar=False)
    return Pair(
        program(net, model, TaehvDecoder.decode, np.moveaxis(latents, 2, -1)),
        torch_program(torch, decode, latents),
        lambda frames: np.moveaxis(np.asarray(frames), -1, 2),
    )
