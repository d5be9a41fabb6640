"""Count the matrix operations of one guided JavisDiT step at 240p, 4 s.

    python tools/javisdit_flops.py

Beside it stands what XLA counts in the same program before it is compiled; XLA takes
the body of a loop once, so that it is held against our count with every body once.
Exit status 1 where the step is more than 1.05 times the count without repeated priors.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from avits_jax.generators.javisdit import generator as javis  # noqa: E402
from avits_jax.generators.javisdit import sizes  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402

# 240p, 4 s, 300 text tokens: as the original runs it, and without repeated prior keys.
ORIGINAL, LEAN = 1.7498e14, 8.326e13
_LIMIT = 1.05


def count(
    function: Callable[..., Any], *shapes: Any, whole_loops: bool = True
) -> float:
    """Operations of a function on arguments of these shapes."""
    return count_flops(jax.make_jaxpr(function)(*shapes), whole_loops=whole_loops)


def main() -> int:
    """Print the count beside the original's; 0 if it is within the limit."""
    config = javis.PUBLISHED
    clip = sizes.clip_sizes(*sizes.image_size("240p", "9:16"), sizes.frame_count("4s"))
    made = javis.javisdit(config, clip)
    graphs, params = javis.networks(config)
    text = jax.ShapeDtypeStruct((300, config.transformer.text_width), jnp.bfloat16)
    ids = jax.ShapeDtypeStruct((config.prior.imagebind.context_length,), jnp.int32)
    mask = jax.ShapeDtypeStruct((300,), bool)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))

    def condition(params, text, mask, ids):
        return javis.make_condition(params, graphs, text, mask, ids)

    cond = jax.eval_shape(condition, params, text, mask, ids)
    once = count(condition, params, text, mask, ids)
    start = jax.eval_shape(made.init, params, keys, cond)
    once += count(made.init, params, keys, cond)
    index = jax.ShapeDtypeStruct((), jnp.int32)
    arguments = (params, keys, start, index, cond)
    step = count(made.step, *arguments)
    bodies = count(made.step, *arguments, whole_loops=False)
    lowered = jax.jit(made.step).trace(*arguments).lower(lowering_platforms=("cpu",))
    xla = lowered.cost_analysis()["flops"]
    print(f"one guided step, one candidate: {step:.4e} FLOP")
    print(f"once per prompt and candidate:  {once:.4e} FLOP")
    print(f"XLA, every loop's body once:    {xla:.4e} ({xla / bodies:.3f} of ours so)")
    print(f"the original as it runs:        {ORIGINAL:.4e} ({step / ORIGINAL:.3f})")
    print(f"without repeated prior keys:    {LEAN:.4e} ({step / LEAN:.3f})")
    return 0 if step <= _LIMIT * LEAN else 1


if __name__ == "__main__":
    sys.exit(main())
