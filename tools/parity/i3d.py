"""I3D as JavisBench uses it, against its goldens."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.metrics.frames import spread_frames
from avits_jax.metrics.i3d import preprocess
from avits_jax.metrics.i3d.config import MAX_FRAMES, I3dConfig
from avits_jax.metrics.i3d.modeling import I3d
from avits_jax.metrics.i3d.params import IGNORED, RULES, build
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.modules import channels_first
from tools.parity.recipes import check_probe, draw_state, published, toleranced
from tools.parity.registry import register
from tools.parity.stored import named, stated_stride


def config_of(sizes: dict[str, Any]) -> I3dConfig:
    """Our configuration of the reference's constructor arguments."""
    return I3dConfig(
        stem=tuple(sizes["stem"]),
        mixed=tuple(map(tuple, sizes["mixed"])),
        num_classes=sizes["num_classes"],
    )


def run_stages(model: I3d, video: jax.Array) -> dict[str, jax.Array]:
    """Means of all stages, rows of logits, and their mean over time."""
    stages = [jnp.mean(each, (1, 2, 3)) for each in model.stages(video)]
    rows = model(video)
    return {
        "endpoints": jnp.concatenate(stages, -1),
        "rows": rows,
        "logits": jnp.mean(rows, 1),
    }


def from_tiles(tiles: Any) -> jax.Array:
    """Grey levels of a clip whose pixels are stored once for every 16 x 16."""
    return jnp.asarray(np.kron(tiles, np.ones((1, 1, 16, 16, 1), np.uint8)), "float32")


@register("i3d_*", holds=("in.plain_tiles", "in.file_frames"))
def run_tiny(golden: Golden) -> dict[str, Expect]:
    """A plain clip, and one as the benchmark reads it."""
    graph, like = build(config_of(golden.info["constructor"]))
    params = weights.load(golden.weights, like, RULES, IGNORED)
    run = jax.jit(lambda p, video: run_stages(nnx.merge(graph, p), video))
    plain = run(params, preprocess.cropped(from_tiles(golden.inputs["plain_tiles"])))
    frames = golden.inputs["file_frames"]
    picked = spread_frames(frames.shape[1], golden.info["max_frames"])
    levels = jnp.asarray(frames[:, picked], jnp.float32)
    prepared = jax.jit(preprocess.bench)(levels)
    bench = run(params, prepared)
    first = jax.jit(preprocess.half_range)(levels)[:, 0]
    results = {
        "out.plain_logits": plain["logits"],
        "mid.plain_rows": plain["rows"],
        "mid.plain_endpoints": plain["endpoints"],
        "mid.bench_first_frame": channels_first(first),
        "mid.bench_input_minmax": jnp.stack([prepared.min(), prepared.max()]),
        "mid.bench_endpoints": bench["endpoints"],
        "out.bench_logits": bench["logits"],
    }
    return toleranced(golden, results, {"mid.bench_first_frame": 0.0})


@register("i3d_full_recipe*", holds=("in.tiles", "mid.endpoints", "weights_recipe"))
def run_full(golden: Golden) -> dict[str, Expect]:
    """The published sizes, with weights from a recipe."""
    graph, like = build(I3dConfig())
    state = draw_state(golden.info["weights_seed"], published("manifest_i3d_400"))
    params = weights.load(state, like, RULES, IGNORED)
    run = jax.jit(lambda p, video: run_stages(nnx.merge(graph, p), video))
    results = run(params, preprocess.cropped(from_tiles(golden.inputs["tiles"])))
    checks = {
        "out.logits": results["logits"],
        "mid.rows": results["rows"],
        "mid.endpoints": results["endpoints"],
    }
    return toleranced(golden, checks) | check_probe(golden, state)


@register("pre_fvd*", holds=("frame_indices", "in.frame*", "out.bench*"))
def run_preprocess(golden: Golden) -> dict[str, Expect]:
    """Frames picked, letterboxed, and prepared as the common code does."""
    stated = golden.info["tol_float32_abs"]
    checks: dict[str, Expect] = {}
    for key in (key for key in golden.info if key.startswith("frame_indices")):
        count = int(key.removeprefix("frame_indices").strip("_") or MAX_FRAMES)
        for num, indices in golden.info[key].items():
            ours = spread_frames(int(num), count)
            checks[f"{key}_{num}"] = Expect(ours, indices, 0.0)
    for name, frame in golden.inputs.items():
        number = name.removeprefix("frame")
        levels = jnp.asarray(frame, jnp.float32)
        for kind, antialias in (("bench", True), ("bench_noaa", False)):
            prepared = preprocess.half_range(levels, antialias=antialias)
            expected = np.moveaxis(golden.outputs[f"{kind}{number}"].astype(int), 0, -1)
            off = np.mean(np.asarray(prepared) != expected)
            share = stated["bench_share_of_values_off_by_one"]
            checks[f"{kind}{number}"] = Expect(prepared, expected, stated["bench"])
            checks[f"{kind}{number}_share"] = Expect(off, 0.0, share)
        seen = named(golden.outputs, f"plain{number}_sub")
        step = stated_stride(seen)
        plain = jnp.moveaxis(preprocess.cropped(levels), -1, 0)[:, ::step, ::step]
        checks[seen] = Expect(plain, None, stated["plain"])
    return checks
