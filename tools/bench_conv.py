"""3-D convolution on this device: XLA's own against three shifted 2-D convolutions.

A second table has 2-D convolutions of space that is padded beforehand, as they are, and
with one column too many padded and cut off again, which is what runs on a CPU.

    python tools/bench_conv.py

Shapes of JavisDiT's temporal decoder at 240p, with fewer channels or frames, and of
LTX-2's decoder, whose space is padded beforehand. Both in the same process, in turn;
median of five.
"""

import functools
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from avits_jax.nn import convolution  # noqa: E402
from tools.bench_verifiers import median_seconds  # noqa: E402

# Frames (padded already), rows, columns, channels in and out; whether to pad space.
_CASES = (
    (7, 30, 53, 128, 128, True),
    (19, 30, 53, 128, 128, True),
    (7, 30, 53, 256, 256, True),
    (11, 66, 98, 128, 128, False),
    (7, 34, 50, 256, 256, False),
    (7, 30, 53, 512, 512, True),
    (5, 34, 50, 512, 512, False),
    (4, 18, 26, 1024, 1024, False),
)
# Pictures, rows, columns, channels.
_PADDED = ((5, 34, 50, 256), (5, 18, 26, 512))
_REPEATS = 5


@functools.partial(jax.jit, static_argnums=2)
def conv2d(x: jax.Array, kernel: jax.Array, columns: int) -> jax.Array:
    """Convolve ``[B, H, W, C]`` with some columns of zeros in front, and cut them."""
    out = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(0, 0), (columns, 0)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return out[:, :, columns:]


def print_padded() -> None:
    """Measure 2-D convolutions of padded space; print a Markdown table."""
    print("\n| pictures, rows, columns, channels | plain s | a column more s | ratio |")
    print("|---|---|---|---|")
    for *size, channels in _PADDED:
        x = jnp.ones((*size, channels))
        kernel = jnp.ones((3, 3, channels, channels)) * 1e-3
        plain, padded = median_seconds(
            tuple(functools.partial(conv2d, x, kernel, columns) for columns in (0, 1)),
            _REPEATS,
        )
        shape = ", ".join(map(str, (*size, channels)))
        print(f"| {shape} | {plain:.3f} | {padded:.3f} | {plain / padded:.2f}x |")


def main() -> None:
    """Measure and print Markdown tables."""
    device = jax.devices()[0]
    print(f"{platform.machine()}, {device.device_kind}, jax {jax.__version__}\n")
    print("| frames, rows, columns, channels | conv3d s | shifted 2-D s | ratio |")
    print("|---|---|---|---|")
    plain = jax.jit(convolution._conv3d, static_argnums=(2, 3))
    shifted = jax.jit(convolution._shifted_conv2d, static_argnums=(2, 3))
    for *size, inward, outward, pad in _CASES:
        x = jnp.ones((1, *size, inward))
        kernel = jnp.ones((3, 3, 3, inward, outward)) * 1e-3
        direct, summed = median_seconds(
            tuple(functools.partial(f, x, kernel, 1, pad) for f in (plain, shifted)),
            _REPEATS,
        )
        shape = ", ".join(map(str, (*size, f"{inward} to {outward}")))
        print(f"| {shape} | {direct:.3f} | {summed:.3f} | {direct / summed:.2f}x |")
    print_padded()


if __name__ == "__main__":
    main()
