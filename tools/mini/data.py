"""Training data of mini, rendered on the fly from a seed and kept in memory."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import track

from avits_jax.generators.mini.modeling import HOP, N_FFT, compress
from avits_jax.mini_world import grammar, world
from avits_jax.nn.audio import stft
from avits_jax.verifiers.mini.modeling import log_mel

_CHUNK = 64


class Pool(NamedTuple):
    """Rendered clips; the spectrogram is kept for the first ``len(levels)`` alone."""

    attributes: np.ndarray  # [P, 4] int32: color, shape, impacts, sound
    timing: np.ndarray  # [P, 2] float32: first impact and gap, seconds
    video: np.ndarray  # [P, 16, 32, 32, 3] uint8
    mel: np.ndarray  # [P, 128, 40] float16
    levels: np.ndarray  # [Q, 128, 257] float16
    words: np.ndarray  # [P, 24] int8: one paraphrase a clip


def scene_keys(seed: int, num_clips: int):
    """One key per clip of a pool."""
    return jax.random.split(jax.random.key(seed), num_clips)


def _scene(key):
    scene = world.sample_scene(key)
    return scene, world.render(jax.random.fold_in(key, 1), scene)


def _levels(audio):
    return compress(jnp.abs(stft(audio, N_FFT, HOP)))


def render_levels(keys):
    """Compressed spectrograms ``[B, 128, 257]`` of the clips of ``keys``."""
    return jax.vmap(lambda key: _levels(_scene(key)[1].audio))(keys)


@jax.jit
def _render(keys):
    def one(key):
        scene, media = _scene(key)
        attributes = jnp.stack([scene.color, scene.shape, scene.impacts, scene.sound])
        timing = jnp.stack([scene.first, scene.gap])
        video = jnp.round(media.video * 255).astype(jnp.uint8)
        mel = log_mel(media.audio).astype(jnp.float16)
        return attributes, timing, video, mel, _levels(media.audio).astype(jnp.float16)

    return jax.vmap(one)(keys)


def wrong_captions(attributes, chances, copies: int, seed: int) -> np.ndarray:
    """Write captions in which attributes are wrong at random, as on the web.

    Args:
        attributes: ``[P, 4]`` of the clips.
        chances: ``[4]`` how often each attribute is replaced by a different value.
        copies: captions a clip, each wrong in its own way.
        seed: of all choices.

    Returns:
        Word ids ``[P, copies, 24]`` int8.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(world.COLORS), len(world.SHAPES), 4, len(world.SOUNDS)])
    least = np.array([0, 0, 1, 0])  # impacts count from 1
    shape = (len(attributes), copies, 4)
    wrong = rng.random(shape) < chances
    step = np.where(wrong, rng.integers(1, sizes, shape), 0)
    said = (attributes[:, None] - least + step) % sizes + least
    flat = [grammar.Attributes(*map(int, row)) for row in said.reshape(-1, 4)]
    words = [
        grammar.tokenize(grammar.paraphrase(each, rng))
        for each in track(flat, description="writing captions")
    ]
    return np.stack(words).astype(np.int8).reshape(*shape[:2], -1)


def render_pool(seed: int, num_clips: int, num_levels: int, cache: Path) -> Pool:
    """Render ``num_clips`` scenes; a cached pool of the same request is reused."""
    path = cache / f"pool-{seed}-{num_clips}-{num_levels}.npz"
    if path.exists():
        with np.load(path) as stored:
            return Pool(**stored)
    keys = scene_keys(seed, num_clips)
    parts = []
    for start in track(range(0, num_clips, _CHUNK), description="rendering clips"):
        *rest, levels = _render(keys[start : start + _CHUNK])
        parts.append(
            [
                *map(np.asarray, rest),
                np.asarray(levels)[: num_levels - start]
                if start < num_levels
                else np.zeros((0, 128, 257), np.float16),
            ]
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    rng = np.random.default_rng(seed)
    prompts = [
        grammar.paraphrase(grammar.Attributes(*map(int, row)), rng)
        for row in columns[0]
    ]
    words = np.stack([grammar.tokenize(prompt) for prompt in prompts]).astype(np.int8)
    attributes, timing, video, mel, levels = columns
    pool = Pool(attributes, timing, video, mel, levels, words)
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **pool._asdict())
    partial.rename(path)
    return pool
