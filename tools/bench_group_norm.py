"""GroupNorm on this device: sums over pixels first, against Flax's over each group.

    python tools/bench_group_norm.py

Shapes of JavisDiT's autoencoder at 240p: one frame at each level of the image decoder,
and a chunk of 17 frames of the temporal one. Both in the same process, in turn.
"""

import functools
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from flax import nnx  # noqa: E402

from avits_jax.nn.group_norm import GroupNorm  # noqa: E402
from tools.bench_verifiers import median_seconds  # noqa: E402

# Batch, positions, channels.
_CASES = (
    (1, 240, 424, 128),
    (1, 240, 424, 256),
    (1, 120, 212, 512),
    (4, 60, 106, 512),
    (4, 30, 53, 512),
    (1, 17, 30, 53, 128),
    (1, 9, 30, 53, 256),
)
_GROUPS, _EPSILON = 32, 1e-6
_REPEATS = 7


def main() -> None:
    """Measure and print a Markdown table."""
    device = jax.devices()[0]
    print(f"{platform.machine()}, {device.device_kind}, jax {jax.__version__}\n")
    print("| shape | Flax, ms | pixels first, ms | ratio | largest difference |")
    print("|---|---|---|---|---|")
    for shape in _CASES:
        x = 3 + jax.random.normal(jax.random.key(0), shape)
        flax = nnx.GroupNorm(
            shape[-1],
            _GROUPS,
            epsilon=_EPSILON,
            use_fast_variance=False,
            rngs=nnx.Rngs(0),
        )
        ours = GroupNorm(shape[-1], _GROUPS, _EPSILON, rngs=nnx.Rngs(0))
        programs = [jax.jit(network) for network in (flax, ours)]
        apart = jnp.max(jnp.abs(programs[0](x) - programs[1](x)))
        before, after = median_seconds(
            tuple(functools.partial(program, x) for program in programs), _REPEATS
        )
        cells = f"{1e3 * before:.1f} | {1e3 * after:.1f} | {after / before:.2f}"
        print(f"| {', '.join(map(str, shape))} | {cells} | {apart:.1e} |")


if __name__ == "__main__":
    main()
