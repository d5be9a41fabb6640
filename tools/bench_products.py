"""Float32 products on this CPU: by YNNPACK, as XLA has them, and by Eigen.

    python tools/bench_products.py
    taskset -c 1 python tools/bench_products.py     # on one core

Shapes of layers: a text or a picture's tokens by matrices of encoders. In turn;
medians. What `nn/compiling.py` does goes by this table.
"""

import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from avits_jax.nn import compiling  # noqa: E402
from tools.bench_originals import threads, versions  # noqa: E402
from tools.bench_verifiers import median_seconds  # noqa: E402

_SHAPES = (  # rows, depth, columns
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
_REPEATS = 11


def main() -> None:
    """Measure and print a Markdown table."""
    print(f"{versions()}; threads: {threads()}\n")
    print("| rows, depth, columns | YNNPACK ms | Eigen ms | ratio |\n|---|---|---|---|")
    for rows, depth, columns in _SHAPES:
        left = jax.random.normal(jax.random.key(0), (rows, depth))
        right = jax.random.normal(jax.random.key(1), (depth, columns))
        lowered = jax.jit(jnp.matmul).lower(left, right)
        programs = lowered.compile(), lowered.compile(compiling.EIGEN)
        runs = tuple(functools.partial(each, left, right) for each in programs)
        ynnpack, eigen = (1e3 * each for each in median_seconds(runs, _REPEATS))
        shape = f"{rows}, {depth}, {columns}"
        print(f"| {shape} | {ynnpack:.2f} | {eigen:.2f} | {eigen / ynnpack:.2f} |")


if __name__ == "__main__":
    main()
