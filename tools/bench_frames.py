"""Frames that go through ImageBind's trunk at once, on this device.

    python tools/bench_frames.py

The published width with one block, whose time the others repeat. All in the same
process, in turn; median of three.
"""

import dataclasses
import functools
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from flax import nnx  # noqa: E402

from avits_jax.networks.imagebind.config import ImageBindConfig  # noqa: E402
from avits_jax.networks.imagebind.modeling import VisionEncoder  # noqa: E402
from avits_jax.nn.abstract import abstract  # noqa: E402
from avits_jax.sampling.chunks import in_batches  # noqa: E402
from tools.bench_verifiers import median_seconds  # noqa: E402

_FRAMES = 16
_SIZES = (16, 8, 4, 2)
_BLOCKS = 1
_REPEATS = 3


def main() -> None:
    """Measure and print a Markdown table."""
    published = ImageBindConfig()
    trunk = dataclasses.replace(published.vision, depth=_BLOCKS)
    config = dataclasses.replace(published, vision=trunk)
    graph, shapes = abstract(lambda rngs: VisionEncoder(config, rngs=rngs))
    # Of one value, for what they are does not change the time.
    weights = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), shapes)
    tokens = jnp.full((_FRAMES, config.vision_patches + 1, trunk.width), 0.1)

    @functools.partial(jax.jit, static_argnums=2)
    def embed(weights, tokens, size):
        return in_batches(nnx.merge(graph, weights).embed, tokens, size)

    runs = tuple(functools.partial(embed, weights, tokens, size) for size in _SIZES)
    seconds = median_seconds(runs, _REPEATS)
    device = jax.devices()[0]
    print(f"{platform.machine()}, {device.device_kind}, jax {jax.__version__}\n")
    print("| frames at once | seconds | to all at once |\n|---|---|---|")
    for size, taken in zip(_SIZES, seconds, strict=True):
        print(f"| {size} | {taken:.2f} | {taken / seconds[0]:.2f} |")


if __name__ == "__main__":
    main()
