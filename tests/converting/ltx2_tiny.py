"""LTX-2.3 with small networks and random weights, in its published layouts."""

import re

import jax
import numpy as np
from ltx2_files import diffusers as listed_folders
from network_helpers import random_params
from safetensors.numpy import save_file

from avits_jax.converting import ltx2_names as names
from avits_jax.generators.ltx2.parts import LTX_2_3
from avits_jax.weights import name_map
from avits_jax.weights.config import config_values

_PREFIXES = {
    "transformer": "model.diffusion_model.",
    "video_decoder": "vae.decoder.",
    "video_encoder": "vae.encoder.",
    "audio_decoder": "audio_vae.decoder.",
    "audio_encoder": "audio_vae.encoder.",
    "vocoder": "vocoder.",
}
_TEXT = {
    "feature_extractor.": "text_embedding_projection.",
    "video_connector.": "model.diffusion_model.video_embeddings_connector.",
    "audio_connector.": "model.diffusion_model.audio_embeddings_connector.",
}
_STATISTICS = "per_channel_statistics."
_SHARED = {"mean-of-means": "latents_mean", "std-of-means": "latents_std"}


def drawn_parts():
    """Weights by part; those that two networks share are equal."""
    trees = {
        part.name: random_params(part.build(LTX_2_3.reduced[part.name])[1], seed)
        for seed, part in enumerate(LTX_2_3.parts)
    }
    for name in ("mean", "std"):
        trees["video_encoder"][name] = trees["video_decoder"][name]
    trees["audio_encoder"]["statistics"] = trees["audio_decoder"]["statistics"]
    return trees


def sizes():
    """Sizes by part, for the command line."""
    return {name: config_values(size) for name, size in LTX_2_3.reduced.items()}


def _undone(transform, key, value):
    """The source array that a transform makes a slice of a leaf of."""
    kind = getattr(transform, "__name__", transform)
    if kind == "linear":
        return np.swapaxes(value, -1, -2)
    if kind == "conv":
        return np.moveaxis(value, (-1, -2), (0, 1))
    if kind == "conv_transpose":
        value = np.flip(value, tuple(range(value.ndim - 2)))
        return np.moveaxis(value, (-2, -1), (0, 1))
    if kind == "pointwise":
        return value.T[..., None, None]
    if kind == "_basis":
        return value.T[:, None]
    if key.endswith(".filter"):
        return value.reshape(1, 1, -1)
    return value.reshape(-1) if kind == "_one" else value


def state_of(part, tree):
    """A part's state dict by module names, which its rules turn into these weights."""
    state, shares = {}, {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = name_map.path_of(path)
        rule, found = next(
            (rule, found)
            for rule in part.rules_for(LTX_2_3.reduced[part.name])
            if (found := name_map._compiled(rule.target, ()).fullmatch(name))
        )
        for index in np.ndindex(leaf.shape[: len(rule.stacked)]):
            at = dict(zip(rule.stacked, index, strict=True))
            key = rule.sources[0].format(**found.groupdict(), **at)
            if hasattr(rule.transform, "rows"):
                shares.setdefault(key, {})[leaf.ndim] = leaf
            else:
                state[key] = _undone(rule.transform, key, np.asarray(leaf[index]))
    for key, by_rank in shares.items():
        states = np.concatenate([by_rank[3], by_rank[2][None]])
        state[key] = states.transpose(2, 1, 0).reshape(states.shape[2], -1)
    return {key: np.ascontiguousarray(value) for key, value in state.items()}


def states_of(trees):
    """State dicts of all parts, by module names."""
    return {part.name: state_of(part, trees[part.name]) for part in LTX_2_3.parts}


def single_file(states):
    """The single file's state dict."""
    whole = {"vocoder.mel_stft.stft_fn.inverse_basis": np.ones((2, 1, 2), np.float32)}
    for part, prefix in _PREFIXES.items():
        for name, value in states[part].items():
            shared = name.startswith(_STATISTICS)
            whole[(prefix.split(".")[0] + "." if shared else prefix) + name] = value
    for name, value in states["text"].items():
        for ours, prefix in _TEXT.items():
            if name.startswith(ours):
                whole[prefix + name.removeprefix(ours)] = value
    return whole


def _encoder_key(name, last):
    """A key of diffusers' video encoder."""
    found = re.match(r"down_blocks\.(\d+)\.(.*)", name)
    if not found:
        return f"encoder.{name}"
    block, odd = divmod(int(found[1]), 2)
    place = f"down_blocks.{block}" + (".downsamplers.0" if odd else "")
    place = "mid_block" if int(found[1]) == last else place
    return f"encoder.{place}.{found[2].replace('res_blocks', 'resnets')}"


def folders(states):
    """State dicts of diffusers' folders, but the text encoder's."""
    published = {}
    for folder, keys in listed_folders("2.3").items():
        homes = names.diffusers(folder, keys)
        place = {(p, home.name): k for k, home in homes.items() for p in home.parts}
        published[folder] = {
            key: states[part][name]
            for (part, name), key in place.items()
            if name in states.get(part, {})
        }
    for part, folder in (("video_encoder", "vae"), ("audio_encoder", "audio_vae")):
        blocks = (re.match(r"down_blocks\.(\d+)", name) for name in states[part])
        last = max((int(found[1]) for found in blocks if found), default=0)
        for name, value in states[part].items():
            if not name.startswith(_STATISTICS):
                key = _encoder_key(name, last) if folder == "vae" else f"encoder.{name}"
                published[folder][key] = value
    basis = "mel_stft.stft_fn.inverse_basis"
    return published | {
        "vocoder": published["vocoder"] | {basis: np.ones((2, 1, 2), np.float32)}
    }


def _write_gemma(folder, states):
    tower = {
        f"language_model.model.{key.removeprefix(names.GEMMA)}": value
        for key, value in states["text"].items()
        if key.startswith(names.GEMMA)
    }
    tower["vision_tower.norm.weight"] = np.ones(2, np.float32)
    _write(folder / "model.safetensors", tower)
    (folder / "tokenizer.json").write_text("{}")


def write_single_file(folder, states):
    """Write everything, optional parts as well, in the layout of the single file."""
    _write(folder / "ltx-2.3-22b-dev.safetensors", single_file(states))
    _write_gemma(folder / "gemma-3-12b-it", states)
    _write(folder / "ltx-2.3-spatial-upscaler-x2-1.1.safetensors", states["upsampler"])
    _write(folder / "taeltx2_3.safetensors", states["preview"])


def write_folders(folder, states):
    """Write everything that is not optional, and encoders, in diffusers' layout."""
    for name, state in folders(states).items():
        _write(folder / name / "diffusion_pytorch_model.safetensors", state)
    _write_gemma(folder / "text_encoder", states)


def _write(path, state):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
