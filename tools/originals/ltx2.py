"""LTX-2's transformers and TAEHV beside their originals."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.converting import ltx2_names
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer import positions
from avits_jax.generators.ltx2.transformer.config import (
    LTX_2_0,
    StreamConfig,
    TransformerConfig,
)
from avits_jax.generators.ltx2.transformer.modeling import Transformer
from avits_jax.generators.ltx2.transformer.params import RULES as TRANSFORMER_RULES
from avits_jax.generators.ltx2.transformer.rotary import rotary_tables
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


def pipelines() -> Any:
    """Diffusers' module with what its pipelines of LTX-2 have of their own."""
    package("diffusers")
    return importlib.import_module("diffusers.pipelines.ltx2")


def transformer(folder: Path | None) -> Pair:
    """LTX-2.3's transformer."""
    del folder
    return _transformer(TransformerConfig())


def transformer_2_0(folder: Path | None) -> Pair:
    """LTX-2's transformer."""
    del folder
    return _transformer(LTX_2_0)


def _transformer(published: TransformerConfig) -> Pair:
    """One pass of a block of half the published width."""
    torch, diffusers = package("torch"), package("diffusers")
    config = replace(
        published,
        video=StreamConfig(heads=16),
        audio=StreamConfig(heads=16, head_width=64, limits=(20.0,)),
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
    texts = [
        draw(1, _TEXT, config.caption_width or each.width)
        for each in (config.video, config.audio)
    ]
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
