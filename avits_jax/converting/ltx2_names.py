"""Where the keys of LTX-2's published files belong: part and module name.

Two layouts are published: one file with a prefix for every part, and folders in the
layout of diffusers, with names of its own. Both become the module names for which the
parts' rules are written. Facts of names: diffusers' conversion script
(scripts/convert_ltx2_to_diffusers.py).
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

TRANSFORMER, TEXT = "transformer", "text"
VIDEO_DECODER, VIDEO_ENCODER = "video_decoder", "video_encoder"
AUDIO_DECODER, AUDIO_ENCODER, VOCODER = "audio_decoder", "audio_encoder", "vocoder"
GEMMA = "gemma."
"""Put before the names of Gemma's tensors in the text part."""


class Home(NamedTuple):
    """Where a key belongs.

    Attributes:
        parts: names of the parts that take it, or that leave it out.
        name: of the module's tensor there.
        why: it is left out; "" where it is taken.
    """

    parts: tuple[str, ...]
    name: str = ""
    why: str = ""


_STATISTICS = "per_channel_statistics."
_USED = {"mean-of-means", "std-of-means"}
_OTHER_STATISTICS = "a statistic of the latents that nothing reads"
# The first prefix that fits counts, and is taken off once: the sound decoder of 2.3
# has a network of the prefix's own name inside.
_SINGLE_FILE = (
    ("model.diffusion_model.video_embeddings_connector.", TEXT, "video_connector."),
    ("model.diffusion_model.audio_embeddings_connector.", TEXT, "audio_connector."),
    ("model.diffusion_model.", TRANSFORMER, ""),
    ("text_embedding_projection.", TEXT, "feature_extractor."),
    ("vae.decoder.", VIDEO_DECODER, ""),
    ("vae.encoder.", VIDEO_ENCODER, ""),
    ("audio_vae.decoder.", AUDIO_DECODER, ""),
    ("audio_vae.encoder.", AUDIO_ENCODER, ""),
    ("vocoder.", VOCODER, ""),
)
_SHARED = {
    f"vae.{_STATISTICS}": (VIDEO_DECODER, VIDEO_ENCODER),
    f"audio_vae.{_STATISTICS}": (AUDIO_DECODER, AUDIO_ENCODER),
}


def single_file(key: str) -> Home | None:
    """Return where a key of the single file belongs, None for one of no known part."""
    for prefix, parts in _SHARED.items():
        if key.startswith(prefix):
            if key.removeprefix(prefix) not in _USED:
                return Home(parts[:1], why=_OTHER_STATISTICS)
            return Home(parts, _STATISTICS + key.removeprefix(prefix))
    for prefix, part, ours in _SINGLE_FILE:
        if key.startswith(prefix):
            return Home((part,), ours + key.removeprefix(prefix))
    return None


_Renames = tuple[tuple[str, str], ...]
_NORMS: _Renames = ((r"\.norm_([qk])\.", r".\1_norm."),)
_CROSS = "av_cross_attn_"
_RENAMED: Mapping[str, _Renames] = {
    "transformer": (
        (r"^(audio_)?proj_in\.", r"\1patchify_proj."),
        (r"^(audio_)?time_embed\.", r"\1adaln_single."),
        (
            rf"^{_CROSS}(video|audio)_scale_shift\.",
            r"av_ca_\1_scale_shift_adaln_single.",
        ),
        (rf"^{_CROSS}video_a2v_gate\.", "av_ca_a2v_gate_adaln_single."),
        (rf"^{_CROSS}audio_v2a_gate\.", "av_ca_v2a_gate_adaln_single."),
        (r"^(audio_)?prompt_adaln\.", r"\1prompt_adaln_single."),
        (
            r"\.(video|audio)_a2v_cross_attn_scale_shift_table$",
            r".scale_shift_table_a2v_ca_\1",
        ),
        *_NORMS,
    ),
    "connectors": (
        (r"^text_proj_in\.", "feature_extractor.aggregate_embed."),
        (r"^(video|audio)_text_proj_in\.", r"feature_extractor.\1_aggregate_embed."),
        (r"_connector\.transformer_blocks\.", "_connector.transformer_1d_blocks."),
        *_NORMS,
    ),
    "vae": ((r"\.resnets\.", ".res_blocks."),),
    "audio_vae": (),
    "vocoder": (
        (r"(^|\.)upsamplers\.", r"\1ups."),
        (r"(^|\.)resnets\.", r"\1resblocks."),
        (r"(^|\.)conv_in\.", r"\1conv_pre."),
        (r"(^|\.)conv_out\.", r"\1conv_post."),
        (r"(^|\.)act_out\.", r"\1act_post."),
        (r"\.downsample\.filter$", ".downsample.lowpass.filter"),
    ),
}
DIFFUSERS_FOLDERS = tuple(_RENAMED)
"""Folders of the diffusers layout, apart from the text encoder's."""
_LATENTS = {"latents_mean": "mean-of-means", "latents_std": "std-of-means"}
_HALVES = {
    "vae": {"decoder": VIDEO_DECODER, "encoder": VIDEO_ENCODER},
    "audio_vae": {"decoder": AUDIO_DECODER, "encoder": AUDIO_ENCODER},
}
_WHOLE = {"transformer": TRANSFORMER, "connectors": TEXT, "vocoder": VOCODER}


def diffusers(folder: str, keys: Iterable[str]) -> dict[str, Home | None]:
    """Return where the keys of one folder of the diffusers layout belong.

    Args:
        folder: one of `DIFFUSERS_FOLDERS`.
        keys: all of its files: how the encoder's last block is numbered depends on how
            many there are.
    """
    keys = list(keys)
    downs = {
        m[1] for key in keys if (m := re.match(r"encoder\.down_blocks\.(\d+)", key))
    }
    return {key: _diffusers(folder, key, len(downs)) for key in keys}


def _diffusers(folder: str, key: str, downs: int) -> Home | None:
    halves = _HALVES.get(folder, {})
    if halves and key in _LATENTS:
        return Home(tuple(halves.values()), _STATISTICS + _LATENTS[key])
    half, _, rest = key.partition(".") if halves else ("", "", key)
    part = halves.get(half) if halves else _WHOLE[folder]
    if part is None:
        return None
    if folder == "vae":
        middle = 0 if half == "decoder" else 2 * downs
        rest = _in_one_list(rest, middle)
    for pattern, ours in _RENAMED[folder]:
        rest = re.sub(pattern, ours, rest)
    return Home((part,), rest)


def _in_one_list(key: str, middle: int) -> str:
    """Return a key with blocks and changes of size numbered in one list."""
    if found := re.match(r"(up|down)_blocks\.(\d+)\.((?:up|down)samplers\.0\.)?", key):
        own = 2 * int(found[2]) + (1 if found[3] else 2 if found[1] == "up" else 0)
        return f"{found[1]}_blocks.{own}.{key[found.end() :]}"
    return re.sub(
        r"^mid_block\.", f"{'down' if middle else 'up'}_blocks.{middle}.", key
    )


_TOWER_PREFIXES = ("language_model.model.", "model.language_model.", "model.", "")
_BESIDE = {
    "vision_tower.": "Gemma's vision tower: prompts are text",
    "multi_modal_projector.": "Gemma's vision tower: prompts are text",
    "lm_head.": "Gemma's output layer: its hidden states are read",
}
_TENSORS = re.compile(r"(embed_tokens|layers\.\d+|norm)\..*")


def gemma(key: str) -> Home | None:
    """Return where a key of Gemma-3's published folder belongs.

    Saved by old or new releases of transformers, whole or as the text tower alone.
    """
    for prefix, why in _BESIDE.items():
        if re.match(rf"(model\.|language_model\.)?{re.escape(prefix)}", key):
            return Home((TEXT,), why=why)
    for prefix in _TOWER_PREFIXES:
        name = key.removeprefix(prefix)
        if key.startswith(prefix) and _TENSORS.fullmatch(name):
            return Home((TEXT,), GEMMA + name)
    return None
