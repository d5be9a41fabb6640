"""Float32 products and convolutions on this CPU: by YNNPACK, as XLA has it, and Eigen.

    python tools/bench_products.py
    taskset -c 1 python tools/bench_products.py     # on one core

Shapes of layers: a text or a picture's tokens by matrices of encoders, and pixels of
encoders and decoders. In turn; medians. What `nn/compiling.py` does goes by this table.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from avits_jax.nn import compiling  # noqa: E402
from tools.bench_originals import threads, versions  # noqa: E402
from tools.bench_verifiers import median_seconds  # noqa: E402

_PRODUCTS = (  # rows, depth, columns
    (16, 1024, 1024),
    (40, 4096, 4096),
    (77, 1024, 4096),
    (77, 4096, 1024),
    (98, 2048, 2048),
    (128, 4096, 10240),
    (128, 15360, 3840),
    (257, 1280, 5120),
    (512, 1152, 1152),
    (768, 3072, 768),
    (1024, 1152, 4608),
    (4096, 512, 512),
)
_CONVOLUTIONS = (  # pictures, side, channels, others, window
    (4, 14, 256, 256, 3),
    (4, 28, 128, 128, 3),
    (4, 56, 64, 64, 3),
    (4, 56, 64, 256, 1),
    (1, 64, 128, 128, 3),
    (1, 64, 256, 256, 3),
    (1, 128, 64, 3, 3),
)
_REPEATS = 11


def cases() -> Iterator[
    tuple[str, Callable[..., Any], tuple[int, ...], tuple[int, ...]]
]:
    """Yield a name, a function of two arrays, and their shapes."""
    for rows, depth, columns in _PRODUCTS:
        name = f"product: {rows}, {depth}, {columns}"
        yield name, jnp.matmul, (rows, depth), (depth, columns)
    convolve = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    for pictures, side, inward, outward, window in _CONVOLUTIONS:
        name = (
            f"convolution: {pictures} of {side} x {side}, {inward} to {outward}, "
            f"{window} x {window}"
        )
        image, kernel = (
            (pictures, side, side, inward),
            (window, window, inward, outward),
        )
        yield name, convolve, image, kernel


def main() -> None:
    """Measure and print a Markdown table."""
    print(f"{versions()}; threads: {threads()}\n")
    print("| shapes | YNNPACK ms | Eigen ms | ratio |\n|---|---|---|---|", flush=True)
    for name, function, *shapes in cases():
        arrays = [jax.random.normal(jax.random.key(i), s) for i, s in enumerate(shapes)]
        lowered = jax.jit(function).lower(*arrays)
        programs = lowered.compile(), lowered.compile(compiling.EIGEN)
        runs = tuple(functools.partial(each, *arrays) for each in programs)
        ynnpack, eigen = (1e3 * each for each in median_seconds(runs, _REPEATS))
        ratio = eigen / ynnpack
        print(f"| {name} | {ynnpack:.2f} | {eigen:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
