"""Clips per second of the verifiers, a batch at once against one clip at a time.

    python tools/bench_verifiers.py [--verifiers clap javis_score+video_reward+clap]

On a GPU or TPU: networks of full size with random bfloat16 weights and clips of
240x426, 102 frames. On a CPU: reduced networks and clips. Both ways of a line run in
the same process on the same clips; compilation is timed apart. Shares are of the rate
of one large matrix product, measured in the same run, and of the maker's where known.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import flax  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import avits_jax as avits  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402
from avits_jax.types import Media  # noqa: E402
from avits_jax.weights.network import check_dtype  # noqa: E402
from tools.verifier_flops import used_jaxpr  # noqa: E402

VERIFIERS = (
    "javis_score",
    "javis_score+avh_score+av_ib+ta_ib+tv_ib",
    "video_reward",
    "clap",
    "vqa_score",
    "av_align",
    "desync",
    "audiobox_pq",
    "javis_score+video_reward+clap",
)
PROMPT = "a red ball bounces on a wooden floor with a dull thud"
SAMPLE_RATE = 16_000
# Dense bfloat16 TFLOP/s that the makers state, by a part of the device's name.
RATES = {
    "H200": 989.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "TPU v6": 918.0,
    "TPU v5p": 459.0,
    "TPU v5": 197.0,
    "TPU v4": 275.0,
}


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; the defaults depend on the device."""
    tiny = jax.default_backend() == "cpu"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--verifiers", nargs="+", default=VERIFIERS, help="a+b: in one program")
    add("--batches", nargs="+", type=int, default=[1, 4, 16])
    add("--frames", type=int, default=24 if tiny else 102)
    add("--size", nargs=2, type=int, default=[48, 64] if tiny else [240, 426])
    add("--fps", type=float, default=8.0 if tiny else 24.0)
    add("--repeats", type=int, default=5)
    add("--dtype", choices=["float32", "bfloat16"], help="of the weights")
    add("--candidate-batch", type=int, help="clips that a network works on at once")
    add("--full", action="store_true", default=not tiny, help="networks of full size")
    add("--json", type=Path, help="write all figures there as well")
    return parser.parse_args(arguments)


def random_clips(count: int, chosen: argparse.Namespace) -> Media:
    """Clips of noise, with sound as long as the picture."""
    height, width = chosen.size
    samples = round(chosen.frames / chosen.fps * SAMPLE_RATE)
    seen, heard = jax.random.split(jax.random.key(0))
    video = jax.random.uniform(seen, (count, chosen.frames, height, width, 3))
    audio = jax.random.uniform(heard, (count, samples), minval=-1.0)
    return Media(video, 0.5 * audio)


def load(group: str, chosen: argparse.Namespace) -> tuple[Callable, Any, Any]:
    """Rewards of a group as ``(weights, media, cond) -> [N, V]``, weights and cond."""
    names = group.split("+")
    if not chosen.full:
        names = [name if name == "av_align" else f"{name}@tiny" for name in names]
    found, weights = avits.verifiers.load(
        names,
        fps=chosen.fps,
        sample_rate=SAMPLE_RATE,
        candidate_batch=chosen.candidate_batch,
        dtype=chosen.dtype,
        random_weights=True,
    )
    encoded = [() if v.encode is None else v.encode(PROMPT) for v in found]
    return (
        avits.verifiers.stack(found),
        weights,
        jax.tree.map(jnp.asarray, tuple(encoded)),
    )


def median_seconds(functions: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median time of each until its result is ready, after a run that does not count.

    They take turns, so that what else the machine does falls on all of them.
    """
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(repeats + 1):
        for function, found in zip(functions, times, strict=True):
            started = time.perf_counter()
            jax.block_until_ready(function())
            if turn:
                found.append(time.perf_counter() - started)
    return [statistics.median(found) for found in times]


def matrix_rate(dtype: str) -> float:
    """TFLOP/s of one large product of square matrices on this device."""
    side = 1024 if jax.default_backend() == "cpu" else 8192
    keys = jax.random.split(jax.random.key(0))
    left, right = (jax.random.normal(key, (side, side), dtype) for key in keys)
    product, _ = compiled(jnp.matmul, left, right)
    # The fastest: what else the machine does must not pass for the device's rate.
    turns = (median_seconds((lambda: product(left, right),), 1) for _ in range(9))
    return 2 * side**3 / min(seconds for (seconds,) in turns) / 1e12


def compiled(function: Callable, *arguments: Any) -> tuple[Any, float]:
    """The program for arguments of these shapes, and the seconds of compiling it."""
    started = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.perf_counter() - started


def one_by_one(program: Callable, weights: Any, clips: list[Media], cond: Any) -> list:
    """Rewards of clips, each waited for before the next is scored."""
    return [jax.block_until_ready(program(weights, clip, cond)) for clip in clips]


def measure(group: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """One line for each batch size."""
    rewards, weights, cond = load(group, chosen)
    media = random_clips(max(chosen.batches), chosen)
    each = [
        jax.tree.map(lambda x, i=i: x[i : i + 1], media) for i in range(len(media[0]))
    ]
    made = compiled(rewards, weights, each[0], cond)
    single = made[0]
    held = {id(leaf): leaf.nbytes for leaf in jax.tree.leaves(weights)}
    lines = []
    for count in chosen.batches:
        clips = jax.tree.map(lambda x, n=count: x[:n], media)
        if count > 1:
            made = compiled(rewards, weights, clips, cond)
        together, apart = median_seconds(
            (
                partial(made[0], weights, clips, cond),
                partial(one_by_one, single, weights, each[:count], cond),
            ),
            chosen.repeats,
        )
        work = count_flops(used_jaxpr(rewards, weights, clips, cond))
        memory = made[0].memory_analysis()
        lines.append(
            {
                "verifiers": group,
                "batch": count,
                "clips_per_second": count / together,
                "one_at_a_time": count / apart,
                "speedup": apart / together,
                "gflop_per_clip": work / count / 1e9,
                "tflop_per_second": work / together / 1e12,
                "weights_gb": sum(held.values()) / 1e9,
                "temporary_gb": memory.temp_size_in_bytes / 1e9 if memory else None,
                "compile_seconds": made[1],
            }
        )
    return lines


def bfloat16_rate() -> float | None:
    """Dense bfloat16 TFLOP/s of the device, None where it is not known."""
    kind = jax.devices()[0].device_kind
    return next((rate for name, rate in RATES.items() if name in kind), None)


def table(lines: Sequence[dict[str, Any]], rate: float) -> str:
    """The figures as a Markdown table.

    Args:
        lines: of `measure`.
        rate: TFLOP/s of a matrix product, measured.
    """
    stated = bfloat16_rate()
    rows = [
        "| verifiers | batch | clips/s | one at a time | ratio | GFLOP a clip "
        "| TFLOP/s | of the measured rate | of the stated bf16 rate | weights GB "
        "| temporary GB | compile s |",
        "|---" * 12 + "|",
    ]
    for line in lines:
        work = line["tflop_per_second"]
        memory = line["temporary_gb"]
        cells = (
            line["verifiers"],
            line["batch"],
            f"{line['clips_per_second']:.3g}",
            f"{line['one_at_a_time']:.3g}",
            f"{line['speedup']:.2f}x",
            f"{line['gflop_per_clip']:.3g}",
            f"{work:.3g}",
            f"{work / rate:.1%}",
            f"{work / stated:.1%}" if stated else "-",
            f"{line['weights_gb']:.3g}",
            "-" if memory is None else f"{memory:.3g}",
            f"{line['compile_seconds']:.1f}",
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(arguments)
    device, dtype = jax.devices()[0], check_dtype(chosen.dtype)
    height, width = chosen.size
    print(
        f"{platform.processor() or platform.machine()}, {device.device_kind}, "
        f"jax {jax.__version__}, flax {flax.__version__}, "
        f"Python {platform.python_version()}; "
        f"{'full' if chosen.full else 'reduced'} networks, random weights "
        f"({dtype}), clips {height}x{width}, {chosen.frames} "
        f"frames; median of {chosen.repeats}"
    )
    rate = matrix_rate(dtype)
    print(f"One large {dtype} matrix product: {rate:.4g} TFLOP/s.\n")
    lines = []
    for group in chosen.verifiers:
        print(f"{group} ...", file=sys.stderr, flush=True)
        lines += measure(group, chosen)
    print(table(lines, rate))
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak:
        print(f"\npeak device memory of all: {peak / 1e9:.1f} GB")
    if chosen.json:
        told = [line | {"matrix_tflop_per_second": rate} for line in lines]
        chosen.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
