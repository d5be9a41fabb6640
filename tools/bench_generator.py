"""Seconds of a generator's steps, clips and searches, and how busy the device is.

    python tools/bench_generator.py --model ltx-2.3 --dtype float8 --candidates 1 2 4
    python tools/bench_generator.py --model javisdit-v0.1 --duration 4s
    python tools/bench_generator.py --model ltx-2.3-tiny           # reduced: anywhere
    python tools/bench_generator.py --model ltx-2.3 --originals    # beside diffusers
    python tools/bench_generator.py --model javisdit-v0.1 --originals FOLDER

Weights are random. The prompt's states are computed once, and the text encoder leaves
memory, as on the command line. A guided step, decoding, and the whole search (states
in, the best clip out) are programs of their own; beside the search stand the same
candidates one at a time, in turn. Shares are of the rate of one large matrix product,
measured in the same run; all turns of loops are counted. A case that does not fit into
memory is reported as such. Every time is a median.

--originals measures the same guided step of the original transformer in torch, with
random weights on the same device, in turn with ours: diffusers' of LTX-2, JavisDiT's of
a checkout in FOLDER (its commit: tools/bench_originals.py --list), which wants einops,
rotary-embedding-torch and transformers. What is absent is reported as not run.
"""

import argparse
import contextlib
import functools
import itertools
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
if "--originals" in " ".join(sys.argv):  # two frameworks share the device
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import flax  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import avits_jax as avits  # noqa: E402
from avits_jax.catalogue.generators import FAMILIES, Family  # noqa: E402
from avits_jax.nn import attention  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402
from avits_jax.text.prompt import precompute_text, split_text  # noqa: E402
from avits_jax.weights.network import check_dtype  # noqa: E402
from tools import javisdit_blocks, javisdit_originals, ltx2_originals  # noqa: E402
from tools.bench_verifiers import matrix_rate, median_seconds  # noqa: E402
from tools.full_size import PROMPT, Part  # noqa: E402

Row = dict[str, Any]
Program = tuple[str, Callable[..., Any], tuple[Any, ...]]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, choices=[family.name for family in FAMILIES])
    add("--dtype", help="float32, bfloat16 or float8; float32 on a CPU, else bfloat16")
    add("--resolution", help="as the model names it; the model's own")
    add("--duration", help="2s, 4s, ... or a number of frames; the model's own")
    add("--steps", type=int, help="denoising steps; the model's own")
    add("--candidates", nargs="+", type=int, default=[1, 4, 16], help="populations")
    add("--candidate-batch", type=int, help="candidates worked on at once; all")
    add("--attention", nargs="+", choices=["best", "xla"], default=["best"])
    add("--repeats", type=int, default=3)
    add(
        "--originals",
        nargs="?",
        const=Path(),
        type=Path,
        metavar="FOLDER",
        help="the original's step, too; JavisDiT's checkout lies in FOLDER",
    )
    add("--transformer", help="of ltx-2.3-tiny: blocks x width, such as 4x512")
    add("--no-search", action="store_true", help="leave out the whole search")
    add("--json", type=Path, help="write all figures there as well")
    return parser.parse_args(arguments)


def family_of(chosen: argparse.Namespace) -> Family:
    """The model's row of the table."""
    return next(family for family in FAMILIES if family.name == chosen.model)


def model_options(chosen: argparse.Namespace) -> dict[str, Any]:
    """The model's own options that are asked for."""
    asked = {
        "num_steps": chosen.steps,
        "resolution": chosen.resolution,
        "duration": chosen.duration,
    }
    return {name: value for name, value in asked.items() if value is not None}


def load(chosen: argparse.Namespace) -> Part:
    """The generator with drawn weights, its text encoder among them, and a prompt."""
    with ltx2_originals.resized(chosen.transformer):
        generator, params = avits.generators.load(
            chosen.model,
            dtype=chosen.dtype,
            random_weights=True,
            **model_options(chosen),
        )
    ids = () if generator.encode is None else generator.encode(PROMPT)
    return Part(generator, params, jax.tree.map(jnp.asarray, ids))


@contextlib.contextmanager
def attention_by(implementation: str) -> Iterator[None]:
    """Have programs that are traced inside use XLA's attention, or the best one."""
    if implementation == "best":
        yield
        return
    with mock.patch.object(attention, "implementation", lambda *_: "xla"):
        yield


def compiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """The compiled program; its `memory_analysis` says what it takes."""
    return jax.jit(function).lower(*arguments).compile()


def peak_gigabytes(program: Any) -> float:
    """Weights and other arguments, results, and what is needed in between."""
    found = program.memory_analysis()
    sizes = (
        found.argument_size_in_bytes,
        found.output_size_in_bytes,
        found.temp_size_in_bytes,
        -found.alias_size_in_bytes,
    )
    return sum(sizes) / 1e9


def time_text(part: Part, repeats: int) -> tuple[Part, Row]:
    """The same with states in the place of ids, without the encoder; and its cost."""
    if part.made.text is None:
        return part, {}
    tower, _ = split_text(part.made, part.params)
    program = compiled(part.made.text, tower, part.cond)
    (seconds,) = median_seconds((lambda: program(tower, part.cond),), repeats)
    params, states = precompute_text(part.made, part.params, part.cond)
    row = {"seconds": seconds, "peak_gb": peak_gigabytes(program)}
    return Part(part.made, params, states), row


def started(part: Part, count: int) -> tuple[Any, Any, avits.Candidates]:
    """A prepared prompt, keys, and candidates at the first noise level."""
    keys, cond = jax.random.split(jax.random.key(0), count), part.cond
    if part.made.prepare is not None:
        cond = jax.jit(part.made.prepare)(part.params, cond)
    return cond, keys, jax.jit(part.made.init)(part.params, keys, cond)


def stage_programs(part: Part, count: int) -> Iterator[Program]:
    """Name, function and arguments of what a search of `count` candidates repeats."""
    generator, params = part.made, part.params
    cond, keys, candidates = started(part, count)
    now = jnp.asarray(generator.num_steps // 2, jnp.int32)
    yield "step", generator.step, (params, keys, candidates, now, cond)
    yield "decode", generator.decode, (params, candidates)


def time_stages(part: Part, count: int, chosen: argparse.Namespace) -> list[Row]:
    """A row for each stage: seconds, and operations in them."""
    rows = []
    for name, function, arguments in stage_programs(part, count):
        program = compiled(function, *arguments)
        (seconds,) = median_seconds(
            (functools.partial(program, *arguments),), chosen.repeats
        )
        work = count_flops(jax.jit(function).trace(*arguments).jaxpr) / 1e12
        row = {"stage": name, "seconds": seconds, "per_candidate": seconds / count}
        row |= {"tflop": work, "tflop_per_second": work / seconds}
        rows.append(row | {"peak_gb": peak_gigabytes(program)})
    return rows


def search_program(part: Part, count: int, batch: int | None) -> Callable[..., Any]:
    """``(params, key, states) -> best clip`` of so many candidates."""

    def brightness(params, media, cond):
        return media.video.mean((1, 2, 3, 4))

    search = functools.partial(
        avits.best_of_n,
        generator=part.made,
        verifiers=(avits.Verifier("brightness", brightness),),
        aggregator=avits.weighted([1.0]),
        num_candidates=count,
        candidate_batch=batch,
    )

    def run(params, key, states):
        return search(avits.Params(params, ((),)), key, avits.Cond(states, ((),))).best

    return run


def time_search(part: Part, count: int, chosen: argparse.Namespace) -> list[Row]:
    """Seconds of one population at once, and of its candidates one after another."""
    key, rest = jax.random.key(0), (part.params, part.cond)
    keys = list(jax.random.split(key, count))

    def program(number: int, batch: int | None) -> Any:
        run = search_program(part, number, batch)
        return compiled(run, rest[0], key, rest[1])

    together, single = program(count, chosen.candidate_batch), program(1, None)
    at_once, apart = median_seconds(
        (
            lambda: together(rest[0], key, rest[1]),
            lambda: [single(rest[0], each, rest[1]) for each in keys],
        ),
        chosen.repeats,
    )
    row = {"seconds": at_once, "per_candidate": at_once / count}
    row |= {"one_at_a_time": apart / count, "peak_gb": peak_gigabytes(together)}
    return [row]


def time_blocks(part: Part, count: int, chosen: argparse.Namespace) -> list[Row]:
    """Milliseconds of one block of each kind of JavisDiT, on a step's guided rows."""
    cond, _, start = started(part, count)
    found: Row = {}
    for name, function, arguments in javisdit_blocks.block_programs(
        part.params, cond, start, reduced=family_of(chosen).reduced
    ):
        program = compiled(function, *arguments)
        (seconds,) = median_seconds(
            (functools.partial(program, *arguments),), chosen.repeats
        )
        found[name] = seconds * 1e3
    return [found]


def original_step(
    part: Part, count: int, chosen: argparse.Namespace
) -> Callable[[], Any]:
    """The original's guided step of so many candidates; raises `NotThere`."""
    family, dtype = family_of(chosen), check_dtype(chosen.dtype)
    if family.module == javisdit_blocks.MODULE:
        config = javisdit_blocks.sizes(reduced=family.reduced).transformer
        start = jax.eval_shape(lambda: started(part, count)[2])
        tokens = int(part.cond.text_mask.sum())
        return javisdit_originals.original_step(
            config, start.latents, tokens, dtype, chosen.originals
        )
    with ltx2_originals.resized(chosen.transformer):
        sizes = ltx2_originals.sizes_of(family, model_options(chosen))
    return ltx2_originals.original_step(sizes, part.cond.text, count, dtype)


def time_originals(part: Part, count: int, chosen: argparse.Namespace) -> list[Row]:
    """A guided step of ours and of the original transformer, in turn."""
    try:
        theirs = original_step(part, count, chosen)
    except ltx2_originals.NotThere as error:
        return [{"original": f"not run: {error}"}]
    _, function, arguments = next(stage_programs(part, count))
    ours = compiled(function, *arguments)
    seconds, others = median_seconds(
        (functools.partial(ours, *arguments), theirs), chosen.repeats
    )
    return [{"seconds": seconds, "original": others, "ratio": seconds / others}]


def attempt(measure: Callable[[], list[Row]]) -> list[Row]:
    """What `measure` returns, or that memory did not do."""
    try:
        return measure()
    except RuntimeError as error:  # JaxRuntimeError, torch.OutOfMemoryError
        if "RESOURCE_EXHAUSTED" not in str(error) and "memory" not in str(error):
            raise
        return [{"failed": "out of memory"}]


def measure_all(chosen: argparse.Namespace) -> dict[str, list[Row]]:
    """By what is timed, rows per population and attention implementation."""
    parts = {"a guided step, and decoded clips": time_stages}
    if not chosen.no_search:
        parts["the whole search"] = time_search
    if family_of(chosen).module == javisdit_blocks.MODULE:
        parts["one block, milliseconds"] = time_blocks
    if chosen.originals is not None:
        parts["a guided step beside the original's"] = time_originals
    part, text = time_text(load(chosen), chosen.repeats)
    found: dict[str, list[Row]] = {"text states": [text] if text else []}
    for title, measure in parts.items():
        found[title] = []
        for count, kind in itertools.product(chosen.candidates, chosen.attention):
            case = {"candidates": count, "attention": kind}
            print(f"{title}: {case}", file=sys.stderr, flush=True)
            with attention_by(kind):
                rows = attempt(functools.partial(measure, part, count, chosen))
            found[title] += [case | row for row in rows]
    return found


def table(rows: Sequence[Row], rate: float) -> str:
    """Rows as Markdown; a dash where there is no figure."""
    shown = list(dict.fromkeys(name for row in rows for name in row))
    if "tflop_per_second" in shown:
        shown.append("share")
    lines = [f"| {' | '.join(shown)} |", "|---" * len(shown) + "|"]
    for row in rows:
        if "tflop_per_second" in row:
            row = row | {"share": f"{row['tflop_per_second'] / rate:.1%}"}
        lines.append(f"| {' | '.join(_cell(row.get(name)) for name in shown)} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def refusal(chosen: argparse.Namespace) -> str:
    """Why nothing is measured; "" where all is well."""
    family = family_of(chosen)
    same = [each for each in FAMILIES if each.module.startswith(_package(family))]
    tiny = next((each.name for each in same if each.reduced), "")
    if jax.default_backend() == "cpu" and not family.reduced and tiny:
        return f"no GPU or TPU was found; try --model {tiny}"
    beside = family.module == javisdit_blocks.MODULE or "ltx2" in family.module
    if chosen.originals is not None and not beside:
        return f"--originals: there is none of {family.name}"
    if chosen.transformer and family.name != "ltx-2.3-tiny":
        return "--transformer is of --model ltx-2.3-tiny"
    return ""


def _package(family: Family) -> str:
    return family.module.rpartition(".")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 2 where full size is asked for without a GPU or TPU."""
    chosen = options(arguments)
    if reason := refusal(chosen):
        print(f"bench_generator: {reason}", file=sys.stderr)
        return 2
    device, dtype = jax.devices()[0], check_dtype(chosen.dtype)
    print(
        f"{chosen.model}, {dtype}; {platform.machine()}, {device.device_kind}, jax "
        f"{jax.__version__}, flax {flax.__version__}, Python "
        f"{platform.python_version()}; random weights; median of {chosen.repeats}"
    )
    if device.platform == "cpu":
        print("No GPU was there: these figures say nothing of one.")
    product = "float32" if dtype == "float32" else "bfloat16"
    rate = matrix_rate(product)
    print(f"One large {product} matrix product: {rate:.4g} TFLOP/s.")
    found = measure_all(chosen)
    for title, rows in found.items():
        if rows:
            print(f"\n{title}\n\n{table(rows, rate)}")
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak:
        print(f"\npeak memory of all cases: {peak / 1e9:.1f} GB")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
