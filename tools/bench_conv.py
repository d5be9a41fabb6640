"""Convolutions on this device: XLA's own, sums of shifted 2-D ones, and Winograd's.

A second table has 2-D convolutions of space that is padded beforehand, as they are, and
with one column too many padded and cut off again, which is what runs on a CPU where
Winograd's form does not pay. A third has convolutions of groups of channels: XLA's own,
and those that run on a CPU (`nn/grouped.py`).

    python tools/bench_conv.py

Shapes of JavisDiT's decoders at 240p, with fewer channels or frames, and of LTX-2's.
All in the same process, in turn; median of five.
"""

import functools
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from avits_jax.nn import convolution, winograd  # noqa: E402
from tools.bench_verifiers import median_seconds  # noqa: E402

# Frames of the window; frames (padded already), rows, columns, channels in and out.
_CASES = (
    (1, 1, 64, 64, 128, 128),
    (1, 1, 30, 53, 512, 512),
    (3, 7, 30, 53, 128, 128),
    (3, 19, 30, 53, 128, 128),
    (3, 7, 30, 53, 256, 256),
    (3, 11, 64, 96, 128, 128),
    (3, 7, 30, 53, 512, 512),
    (3, 5, 32, 48, 512, 512),
    (3, 4, 16, 24, 1024, 1024),
)
# Pictures, rows, columns, channels.
_PADDED = ((5, 34, 50, 256), (5, 18, 26, 512))
# Pictures, rows, columns, channels, groups, side of the window: of AudioCLIP.
_GROUPED = (
    (2, 86, 39, 128, 32, 3),
    (2, 43, 20, 256, 32, 3),
    (2, 22, 10, 512, 32, 3),
    (2, 22, 10, 512, 512, 3),
    (2, 11, 5, 1024, 1024, 5),
)
_REPEATS = 5
_ONE = (1, 1, 1)
_SAME = (0, 0), (1, 1), (1, 1)  # of space; time is padded already


@jax.jit
def _winograd(x: jax.Array, kernel: jax.Array) -> jax.Array:
    padded = jnp.pad(x, ((0, 0), *_SAME, (0, 0)))
    return winograd.convolve(padded, kernel)


_FORMS = (
    jax.jit(lambda x, kernel: convolution._plain(x, kernel, _ONE, _SAME)),
    jax.jit(lambda x, kernel: convolution._shifted_conv2d(x, kernel, _ONE, _SAME)),
    _winograd,
)


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


def print_grouped() -> None:
    """Measure convolutions of groups; print a Markdown table."""
    print(
        "\n| pictures, rows, columns, channels, groups, side | XLA s | here s | ratio |"
    )
    print("|---|---|---|---|")
    forms = [
        jax.jit(form, static_argnums=(2, 3, 4))
        for form in (convolution._plain, convolution.convolve)
    ]
    for *size, channels, groups, side in _GROUPED:
        x = jnp.ones((*size, channels))
        kernel = jnp.ones((side, side, channels // groups, channels)) * 1e-3
        given = (x, kernel, (1, 1), convolution.half((side, side)), groups)
        plain, ours = median_seconds(
            [functools.partial(form, *given) for form in forms], _REPEATS
        )
        shape = ", ".join(map(str, (*size, channels, groups, side)))
        print(f"| {shape} | {plain:.4f} | {ours:.4f} | {ours / plain:.2f} |")


def main() -> None:
    """Measure and print Markdown tables."""
    device = jax.devices()[0]
    print(f"{platform.machine()}, {device.device_kind}, jax {jax.__version__}\n")
    print("| frames, rows, columns, channels | conv3d s | shifted 2-D s | Winograd s |")
    print("|---|---|---|---|")
    for window, *size, inward, outward in _CASES:
        x = jnp.ones((1, *size, inward))
        kernel = jnp.ones((window, 3, 3, inward, outward)) * 1e-3
        seconds = median_seconds(
            tuple(functools.partial(form, x, kernel) for form in _FORMS), _REPEATS
        )
        shape = ", ".join(map(str, (*size, f"{inward} to {outward}")))
        print(f"| {shape} |" + "".join(f" {each:.4f} |" for each in seconds))
    print_padded()
    print_grouped()


if __name__ == "__main__":
    main()
