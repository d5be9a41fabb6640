"""A small evaluation of six prompts, in either mode."""

import numpy as np

from avits_jax.bench import EvaluatedClip, EvaluationFolder, Method, Protocol
from avits_jax.bench.columns import columns_of

NUM_PROMPTS = 6
JAVIS_FEATURES = {"i3d": 4, "audioclip": 3}
AV_FEATURES = {"panns": 8, "panns_logits": 5, "passt": 4, "passt_logits": 5}


def protocol(benchmark="javisbench-mini", mode="bench", **changed):
    """A protocol of all columns of a benchmark."""
    columns = columns_of(benchmark)
    values = {
        "benchmark": benchmark,
        "mode": mode,
        "prompts": "0" * 64,
        "num_prompts": NUM_PROMPTS,
        "seeds": (0,),
        "resolution": (240, 426),
        "frames": 97,
        "fps": 24.0,
        "sample_rate": 16_000,
        "checkpoints": {"imagebind": "a", "i3d": "b"},
        "decoders": {"av": "15.0"},
        "variants": {key: column.variant(mode) for key, column in columns.items()},
    }
    return Protocol(**(values | changed))


def clips(made, widths, seed=0, rows=range(NUM_PROMPTS)):
    """Clips with a random number in every column of single clips, and features."""
    rng = np.random.default_rng(seed)
    keys = [k for k, c in columns_of(made.benchmark).items() if not c.features]
    drawn = [
        EvaluatedClip(
            row,
            scores=dict(zip(keys, rng.normal(size=len(keys)).tolist(), strict=True)),
            features={
                name: rng.normal(size=width).astype(np.float32)
                for name, width in widths.items()
            },
        )
        for row in range(NUM_PROMPTS)
    ]
    return [drawn[row] for row in rows]


def write(path, made, evaluated, **method):
    """An evaluation's folder."""
    with EvaluationFolder(path, made, Method(**({"name": "ours"} | method))) as folder:
        folder.add(evaluated)
    return path
