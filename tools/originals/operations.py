"""Single operations of both frameworks: what no network's own code can change."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.nn.compiling import compile_lowered
from tools.originals.importing import package
from tools.originals.pairs import Pair, draw, first_axis_last, torch_program


def _compiled(function: Any, *arrays: np.ndarray) -> Any:
    placed = [jnp.asarray(each) for each in arrays]
    return partial(compile_lowered(jax.jit(function).lower(*placed)), *placed)


def product(folder: Path | None) -> Pair:
    """A product as of a layer's: rows of 1024 by a matrix four times as wide."""
    del folder
    torch = package("torch")
    left, right = draw(256, 1024) / 32, draw(1024, 4096, seed=1)
    return Pair(
        _compiled(jnp.matmul, left, right),
        torch_program(torch, torch.matmul, left, right),
        np.asarray,
    )


def convolution(folder: Path | None) -> Pair:
    """A convolution as of a decoder's: 3 x 3 over 128 channels of 64 x 64 pixels."""
    del folder
    torch = package("torch")
    image, kernel = draw(1, 128, 64, 64) / 34, draw(128, 128, 3, 3, seed=1)
    ours = partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    function = partial(torch.nn.functional.conv2d, padding=1)
    return Pair(
        _compiled(ours, first_axis_last(image), kernel.transpose(2, 3, 1, 0)),
        torch_program(torch, function, image, kernel),
        lambda x: np.moveaxis(np.asarray(x), -1, 1),
    )
