"""Networks of verifiers beside their originals from transformers and checkouts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from avits_jax.networks.imagebind import params as imagebind_names
from avits_jax.networks.imagebind.config import ImageBindConfig
from avits_jax.networks.imagebind.modeling import ImageBind
from avits_jax.verifiers.clap import params as clap_names
from avits_jax.verifiers.clap.config import ClapConfig
from avits_jax.verifiers.clap.modeling import Clap
from tools.originals.importing import package, source
from tools.originals.pairs import (
    Net,
    Pair,
    draw,
    draw_ids,
    program,
    settle,
    torch_program,
)

FILES = ("iopath", "iopath.common", "iopath.common.file_io")
"""What ImageBind imports to read files."""
_DEPTH = 2


def imagebind_sizes(encoder: str) -> tuple[ImageBindConfig, dict[str, Any]]:
    """Our sizes of ImageBind, and what the original's class takes for them.

    One encoder has the published width; the others are narrow, which they may be: none
    reads another.
    """
    published = ImageBindConfig()
    sizes: dict[str, Any] = {"out_embed_dim": published.embed_dim}
    trunks = {}
    for name in ("vision", "audio", "text"):
        trunk = getattr(published, name)
        own = name == encoder
        width = trunk.width if own else trunk.heads * 2
        trunks[name] = replace(trunk, width=width, depth=_DEPTH if own else 1)
        sizes |= {
            f"{name}_embed_dim": width,
            f"{name}_num_blocks": trunks[name].depth,
            f"{name}_num_heads": trunk.heads,
        }
    for name in ("depth", "thermal", "imu"):
        sizes |= {f"{name}_embed_dim": 16, f"{name}_num_blocks": 1}
        sizes[f"{name}_num_heads"] = 2
    return replace(published, **trunks), sizes


def _imagebind(
    folder: Path | None, encoder: str, array: np.ndarray, ours: Callable[..., Any]
) -> Pair:
    """One encoder."""
    torch = package("torch")
    theirs = source(
        folder,
        "ImageBind",
        "imagebind.models.imagebind_model",
        bare=("imagebind", "imagebind.models"),
        stand_ins=FILES,
    )
    config, sizes = imagebind_sizes(encoder)
    model = settle(torch, theirs.ImageBindModel(**sizes))
    net = Net(
        *imagebind_names.build(config),
        imagebind_names.RULES,
        imagebind_names.IGNORED,
    )
    return Pair(
        program(net, model, ours, array),
        torch_program(torch, lambda x: model({encoder: x})[encoder], array),
        np.asarray,
    )


def imagebind_vision(folder: Path | None) -> Pair:
    """A clip of two frames."""

    def ours(model: ImageBind, clips: Any) -> Any:
        return model.vision(jnp.moveaxis(clips[:, 0], 1, -1)).mean(0, keepdims=True)

    return _imagebind(folder, "vision", draw(1, 1, 3, 2, 224, 224), ours)


def imagebind_audio(folder: Path | None) -> Pair:
    """Three clips of 2 s, whose embeddings are averaged."""

    def ours(model: ImageBind, clips: Any) -> Any:
        return model.audio(clips[0, :, 0]).mean(0, keepdims=True)

    return _imagebind(folder, "audio", draw(1, 3, 1, 128, 204), ours)


def imagebind_text(folder: Path | None) -> Pair:
    """A text of full length."""
    config = ImageBindConfig()
    ids = draw_ids(config.vocab_size - 2, 1, config.context_length)
    ids[:, -1] = config.vocab_size - 1
    return _imagebind(folder, "text", ids, lambda model, ids: model.text(ids))


def _clap(array: np.ndarray, original: str, ours: Callable[..., Any]) -> Pair:
    torch, transformers = package("torch"), package("transformers")
    published = ClapConfig()
    config = replace(published, text=replace(published.text, depth=_DEPTH))
    text, audio = config.text, config.audio
    model = transformers.ClapModel(
        transformers.ClapConfig(
            text_config={
                "vocab_size": text.vocab_size,
                "hidden_size": text.width,
                "num_hidden_layers": text.depth,
                "num_attention_heads": text.heads,
                "intermediate_size": text.hidden,
                "max_position_embeddings": text.max_positions,
                "pad_token_id": text.pad_id,
            },
            audio_config={
                "depths": list(audio.depths),
                "num_attention_heads": list(audio.heads),
                "patch_embeds_hidden_size": audio.width,
                "hidden_size": audio.out_width,
                "enable_fusion": False,
            },
            projection_dim=config.embed_dim,
        )
    )
    settle(torch, model)
    net = Net(*clap_names.build(config), clap_names.RULES, clap_names.IGNORED)

    def run(array: Any) -> Any:
        found = getattr(model, original)(array)
        found = getattr(found, "pooler_output", found)
        return torch.nn.functional.normalize(found, dim=-1)

    return Pair(
        program(net, model, ours, array), torch_program(torch, run, array), np.asarray
    )


def clap_audio(folder: Path | None) -> Pair:
    """A spectrogram of 10 s."""
    del folder
    mel = draw(1, 1, 1001, ClapConfig().audio.mel_bins)
    return _clap(mel, "get_audio_features", lambda model, x: model.embed_audio(x[:, 0]))


def clap_text(folder: Path | None) -> Pair:
    """A text of 64 tokens."""
    del folder
    ids = draw_ids(ClapConfig().text.vocab_size, 1, 64)

    def ours(model: Clap, ids: Any) -> Any:
        return model.embed_text(ids, jnp.ones(ids.shape, bool))

    return _clap(ids, "get_text_features", ours)
