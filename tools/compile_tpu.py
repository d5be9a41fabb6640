"""Compile a whole search ahead of time for TPUs that are not there.

    python tools/compile_tpu.py --model mini --topology v5e:8x8 v6e:16x16

Prints, for each topology, memory per chip, estimated operations, and every collective
with its bytes. Needs the compiler of the `tpu` extra (pip install "avits_jax[tpu]") and
no TPU; N grows with the number of chips. On a real pod the two commands are, each
sent to all hosts at once (--worker=all):

    pip install "avits_jax[tpu]"
    avits run PROMPTS.csv --out SHARED_FOLDER/RUN
"""

import argparse
import functools
import importlib
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

# The CPU runs; the TPU compiler alone is asked for. No TPU host is looked for.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
from jax.experimental import topologies  # noqa: E402

import avits_jax as avits  # noqa: E402
from avits_jax.parallel import jit_search, make_mesh  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402
from avits_jax.parallel.hlo import Collective, collectives  # noqa: E402

GIB = 2**30


class Plan(NamedTuple):
    """What to compile: shapes of all arguments, and the search's settings."""

    params: avits.Params
    arguments: tuple[Any, ...]
    settings: dict[str, Any]


class Compiled(NamedTuple):
    """What the compiler said of one program, bytes and operations per chip."""

    topology: str
    chips: int
    hosts: int
    num_candidates: int
    weights: str
    memory: dict[str, int]
    flops: float
    found: list[Collective]
    seconds: float

    @property
    def network_bytes(self) -> int:
        """Bytes that one chip ends up with from others, in one search."""
        return sum(each.total_bytes for each in self.found)


def shapes(tree: Any) -> Any:
    """Return the shapes and dtypes of a tree of arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


@functools.cache
def make_plan(model: str, names: tuple[str, ...], steps: int | None) -> Plan:
    """Load a model and its verifiers, and state what a best-of-N with ARW takes."""
    generator, weights = avits.generators.load(model, num_steps=steps)
    verifiers, judges = avits.verifiers.load(names)
    aggregator = avits.arw([1 / len(names)] * len(names))
    cond = avits.encode_prompt(
        "a red circle bounces twice with a drum", generator, verifiers
    )
    settings = {
        "generator": generator,
        "verifiers": verifiers,
        "aggregator": aggregator,
    }
    return Plan(
        shapes(avits.Params(weights, judges)),
        shapes((jax.random.key(0), cond, aggregator.init(len(names)))),
        settings,
    )


def split_rules(model: str, names: tuple[str, ...]) -> avits.Params:
    """Return the sharding rules that the folders of a model and mini's judges state."""
    mine = importlib.import_module(f"avits_jax.generators.{model}.sharding").RULES
    theirs = importlib.import_module("avits_jax.verifiers.mini.sharding").RULES
    return avits.Params(mine, tuple(theirs[name] for name in names))


def compile_for(options: argparse.Namespace, topology: str, shared: int) -> Compiled:
    """Compile for one topology, with weights shared by groups of `shared` chips."""
    names = tuple(options.verifiers)
    plan = make_plan(options.model, names, options.steps)
    described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    devices: list[jax.Device] = list(described.devices)
    mesh = make_mesh(devices=devices, model=shared)
    num_candidates = options.candidates_per_chip * len(devices)
    search, params = jit_search(
        avits.best_of_n,
        plan.params,
        mesh,
        split_rules(options.model, names) if shared > 1 else None,
        num_candidates=num_candidates,
        **plan.settings,
    )
    started = time.perf_counter()
    traced = search.trace(params, *plan.arguments)
    program = traced.lower().compile()
    seconds = time.perf_counter() - started
    memory = program.memory_analysis()
    kinds = ("argument", "output", "temp", "generated_code")
    return Compiled(
        topology,
        len(devices),
        len({device.process_index for device in devices}),
        num_candidates,
        f"split over {shared}" if shared > 1 else "copied",
        {name: getattr(memory, f"{name}_size_in_bytes") for name in kinds},
        count_flops(traced.jaxpr) / len(devices),
        collectives(program.as_text()),
        seconds,
    )


def describe(result: Compiled) -> str:
    """Return a paragraph about one program."""
    memory = ", ".join(f"{k} {v / GIB:.4f}" for k, v in result.memory.items())
    lines = [
        f"{result.topology}: {result.chips} chips, {result.hosts} hosts, "
        f"N = {result.num_candidates}, weights {result.weights}",
        f"  memory per chip, GiB: {memory}",
        f"  operations per chip: {result.flops:.3e} (matrix products, Fourier "
        "transforms; loops counted in full)",
        f"  bytes per chip across the network: {result.network_bytes:,}",
        f"  traced and compiled in {result.seconds:.0f} s",
        "  collectives (bytes of one execution x executions):",
    ]
    lines += [f"    {_collective(each)}" for each in result.found]
    return "\n".join(lines)


def _collective(each: Collective) -> str:
    arrays = ", ".join(f"{dtype}{list(shape)}" for dtype, shape in each.shapes)
    return f"{each.kind} {each.bytes:,} x {each.times}: {arrays}  {each.scope}"


def table(results: list[Compiled]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| topology | chips | hosts | N | weights | memory per chip (MiB) | GFLOP per "
        "chip | collectives | bytes per chip across the network |",
        "| --- | --: | --: | --: | --- | --: | --: | --: | --: |",
    ]
    for each in results:
        size = sum(each.memory.values()) / 2**20
        lines.append(
            f"| {each.topology} | {each.chips} | {each.hosts} | {each.num_candidates} "
            f"| {each.weights} | {size:.1f} | {each.flops / 1e9:.1f} "
            f"| {sum(c.times for c in each.found)} | {each.network_bytes:,} |"
        )
    return "\n".join(lines)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="generator")
    parser.add_argument(
        "--verifiers", nargs="+", default=["mini_tv", "mini_ta", "mini_av"]
    )
    parser.add_argument(
        "--topology", nargs="+", required=True, help="v5e:8x8, v5p:4x4x4, ..."
    )
    parser.add_argument("--candidates-per-chip", type=int, default=1)
    parser.add_argument(
        "--model-axis",
        type=int,
        default=1,
        help="chips that share one copy of the weights; 1 copies them to every chip",
    )
    parser.add_argument("--steps", type=int, help="denoising steps; the model's own")
    options = parser.parse_args(arguments)
    if options.candidates_per_chip < 1:
        parser.error("--candidates-per-chip must be at least 1")
    if importlib.util.find_spec("libtpu") is None:
        parser.error('the TPU compiler is missing; pip install "avits_jax[tpu]"')
    return options


def main(arguments: list[str] | None = None) -> int:
    """Compile for every topology; 1 if one of them cannot be had."""
    options = parse(arguments)
    results = []
    for topology in options.topology:
        try:
            results.append(compile_for(options, topology, options.model_axis))
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            print(f"compile_tpu: {topology}: {reason}", file=sys.stderr)
            return 1
        print(describe(results[-1]), flush=True)
    print(f"\n{table(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
