"""Clips that begin with a picture."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from avits_jax.media.resampling import resize
from avits_jax.runs.devices import ONE_DEVICE, Devices
from avits_jax.types import Generator, PyTree

PutIn = Callable[[PyTree, UInt8[np.ndarray, "h w 3"]], PyTree]


def with_picture(
    generator: Generator,
    params: PyTree,
    picture: UInt8[np.ndarray, "h w 3"],
    devices: Devices = ONE_DEVICE,
) -> Generator:
    """Return a generator all of whose prompts' clips begin with a picture.

    The picture is scaled to cover the clip's height and width, and its centre is taken.

    Args:
        generator: one that has `with_image`.
        params: its weights, without the text tower that its ``encode`` runs.
        picture: of any size, see `avits_jax.media.read_image`.
        devices: what putting it in is compiled for.

    Raises:
        ValueError: the generator takes no picture.
    """
    encode_text, put_in = generator.encode, putting_in(generator, params, devices)
    if put_in is None or encode_text is None:
        raise ValueError("generator takes no picture: it has no with_image")
    return generator._replace(
        encode=lambda prompt: put_in(encode_text(prompt), picture)
    )


def putting_in(
    generator: Generator, params: PyTree, devices: Devices = ONE_DEVICE
) -> PutIn | None:
    """Return what puts a picture into a prompt, see `with_picture`.

    Args:
        generator: the generator; for one that takes no picture, None is returned.
        params: its weights, likewise.
        devices: what it is compiled for.
    """
    if generator.with_image is None:
        return None
    program = devices.compiled(generator.with_image)
    sizes: list[tuple[int, int]] = []  # traced once; no prompt changes it

    def put_in(cond: PyTree, picture: UInt8[np.ndarray, "h w 3"]) -> PyTree:
        cond = jax.tree.map(jnp.asarray, cond)
        if not sizes:
            sizes.append(_clip_size(generator, params, cond))
        fitted = jnp.asarray(resize(picture, *sizes[0]))
        return devices.fetch(program(params, *devices.share((cond, fitted))))

    return put_in


def _clip_size(generator: Generator, params: PyTree, cond: PyTree) -> tuple[int, int]:
    """Return height and width of its clips; nothing is computed."""
    prepare = generator.prepare or (lambda params, cond: cond)

    def clip(params: PyTree, cond: PyTree) -> PyTree:
        keys = jax.random.split(jax.random.key(0), 1)
        candidates = generator.init(params, keys, prepare(params, cond))
        return generator.decode(params, candidates)

    _, _, height, width, _ = jax.eval_shape(clip, params, cond).video.shape
    return height, width
