"""Count the matrix operations of one guided JavisDiT step at 240p, 4 s.

    python tools/javisdit_flops.py

Exit status 1 where it is more than 1.05 times the count without repeated priors.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from avits_jax.generators.javisdit import generator as javis  # noqa: E402
from avits_jax.generators.javisdit import sizes  # noqa: E402
from tools.flops import count_flops  # noqa: E402

# 240p, 4 s, 300 text tokens: as the original runs it, and without repeated prior keys.
ORIGINAL, LEAN = 1.7498e14, 8.326e13
_LIMIT = 1.05


def main() -> int:
    """Print the count beside the original's; 0 if it is within the limit."""
    config = javis.JavisDiTConfig()
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
    once = count_flops(condition, params, text, mask, ids)
    start = jax.eval_shape(made.init, params, keys, cond)
    once += count_flops(made.init, params, keys, cond)
    index = jax.ShapeDtypeStruct((), jnp.int32)
    step = count_flops(made.step, params, keys, start, index, cond)
    print(f"one guided step, one candidate: {step:.4e} FLOP")
    print(f"once per prompt and candidate:  {once:.4e} FLOP")
    print(f"the original as it runs:        {ORIGINAL:.4e} ({step / ORIGINAL:.3f})")
    print(f"without repeated prior keys:    {LEAN:.4e} ({step / LEAN:.3f})")
    return 0 if step <= _LIMIT * LEAN else 1


if __name__ == "__main__":
    sys.exit(main())
