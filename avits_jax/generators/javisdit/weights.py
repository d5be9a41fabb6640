"""Read JavisDiT's five networks from a converted checkpoint, or draw them (host)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.generators.javisdit.networks import (
    JavisDiTConfig,
    Networks,
    check_sizes,
    networks,
)
from avits_jax.generators.javisdit.sharding import NETWORKS
from avits_jax.parallel.sharding import param_shardings
from avits_jax.types import PyTree
from avits_jax.weights import checkpoint
from avits_jax.weights.config import config_from
from avits_jax.weights.network import Weights, as_dtype, check_dtype, random_weights
from avits_jax.weights.parts import read_index

MODEL = "javisdit-v0.1"
"""Name of the model in its checkpoints."""

# Frequencies of positions and statistics of latents: rounded, they shift everything.
_FLOAT32 = ("rotary", "shift", "scale")
_LATENT_SCALE = (3.85, 2.32, 2.33, 3.06)
_LATENT_SHIFT = (-0.10, 0.34, 0.27, 0.98)


def read_config(weights: Weights, default: JavisDiTConfig) -> JavisDiTConfig:
    """Read the sizes of the networks from a checkpoint's index.

    Args:
        weights: where from; ``default`` for random weights.
        default: sizes of parts for which the checkpoint states none.

    Raises:
        CheckpointError: the checkpoint is none, is half a conversion, lacks a part, or
            is of another model.
        ValueError: its sizes do not fit the networks, or each other.
    """
    if weights.folder is None:
        return default
    index = read_index(weights.folder, expect_parts=Networks._fields)
    if index.get("model") != MODEL:
        raise checkpoint.CheckpointError(
            f"{weights.folder} is a checkpoint of {index.get('model')!r}, not {MODEL!r}"
        )
    stated = index.get("config") or {}
    parts = {
        name: config_from(type(getattr(default, name)), stated.get(name) or {})
        for name in Networks._fields
    }
    config = JavisDiTConfig(**parts)
    check_sizes(config)
    return config


def read_weights(weights: Weights, config: JavisDiTConfig) -> Networks:
    """Read the weights of all networks, in ``weights.dtype``.

    Frequencies of positions and statistics of video latents stay float32. Among random
    weights, they are the real ones. With ``weights.mesh`` every array is made or read
    where it belongs, split by the rules of `sharding`.

    Args:
        weights: where from.
        config: sizes of the networks.

    Raises:
        CheckpointError: a part is damaged, or of other sizes than the index states.
        ValueError: the dtype is unknown, or the mesh does not divide the weights.
    """
    dtype = check_dtype(weights.dtype)
    _, like = networks(config)
    like = Networks(*(at_dtype(part, dtype) for part in like))
    places = None
    if weights.mesh is not None:
        shapes = like._asdict().items()
        split = {n: param_shardings(x, weights.mesh, NETWORKS[n]) for n, x in shapes}
        places = Networks(**split)
    folder = weights.folder
    if folder is None:
        return _with_constants(random_weights(like, weights.seed, places))

    def read(name: str) -> PyTree:
        return checkpoint.load(
            folder / name,
            like=getattr(like, name),
            expect_model=f"{MODEL}/{name}",
            sharding=None if places is None else getattr(places, name),
        ).tree

    return Networks(*map(read, Networks._fields))


def at_dtype(like: dict[str, PyTree], dtype: str) -> dict[str, PyTree]:
    """Return one network's shapes in a dtype, its constants in float32.

    Args:
        like: shapes of the network's parameters.
        dtype: "float32" or "bfloat16".
    """
    return {
        name: as_dtype(part, "float32" if name in _FLOAT32 else dtype)
        for name, part in like.items()
    }


def _with_constants(drawn: Networks) -> Networks:
    """Return random weights with the numbers that are no weights put right."""
    rotary = drawn.transformer["rotary"]
    pairs = np.arange(rotary.size) / rotary.size
    transformer = {**drawn.transformer, "rotary": _like(rotary, 10_000.0**-pairs)}
    video_vae = dict(drawn.video_vae)
    if video_vae["scale"].size == len(_LATENT_SCALE):
        video_vae["scale"] = _like(video_vae["scale"], _LATENT_SCALE)
        video_vae["shift"] = _like(video_vae["shift"], _LATENT_SHIFT)
    return drawn._replace(transformer=transformer, video_vae=video_vae)


def _like(array: jax.Array, values: Any) -> jax.Array:
    """Return other values in the array's dtype and place."""
    return array * 0 + jnp.asarray(values, array.dtype)
