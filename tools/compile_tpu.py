"""Compile a whole search ahead of time for TPUs that are not there.

    python tools/compile_tpu.py --model mini --topology v5e:8x8 v6e:16x16
    python tools/compile_tpu.py --model javisdit-v0.1 --topology v5e:8x8 v5p:4x4x4 \
        --model-axis 8 --verifiers javis_score video_reward

Prints, for each topology, memory per chip and whether the chip has it, estimated
operations, bytes to and from main memory counted from the compiled program, every
collective with its bytes, and the seconds that each of the three would take at the
chip's published peak. Exit status 1, and a line that says why, where a program does not
fit with a tenth of the memory to spare (--spare), or moves more through memory or
across the network than --most-hbm or --most-network. JavisDiT and the large verifiers
are compiled with bfloat16 weights of full size, of which only the shapes exist. The
model "clips" stands for clips of JavisDiT's size from nowhere: verifiers alone. The
verifier "brightness" costs nothing.

Needs the compiler of the `tpu` extra (pip install "avits_jax[tpu]") and no TPU; N grows
with the number of chips. On a real pod the two commands are, each sent to all hosts at
once (--worker=all):

    pip install "avits_jax[tpu]"
    avits run PROMPTS.csv --out SHARED_FOLDER/RUN
"""

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, get_args

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
from avits_jax.parallel.memory import GatherChoice  # noqa: E402
from avits_jax.parallel.traffic import moved_bytes  # noqa: E402
from tools import full_size  # noqa: E402

GIB = 2**30


class Chip(NamedTuple):
    """Published peaks of one chip (cloud.google.com/tpu/docs/system-architecture).

    Attributes:
        memory: bytes.
        matrix: bfloat16 operations a second.
        hbm: bytes a second to and from main memory.
        network: bytes a second over all of its links to other chips.
    """

    memory: float
    matrix: float
    hbm: float
    network: float


# By the kind that begins a topology's name.
CHIPS = {
    "v4": Chip(32e9, 275e12, 1228e9, 300e9),
    "v5e": Chip(16e9, 197e12, 819e9, 200e9),
    "v5p": Chip(95e9, 459e12, 2765e9, 600e9),
    "v6e": Chip(32e9, 918e12, 1640e9, 448e9),
}
_MINI_JUDGES = ("mini_tv", "mini_ta", "mini_av")
MODELS = (
    "mini",
    full_size.JAVISDIT,
    "javisdit-tiny",
    *full_size.LTX2,
    full_size.CLIPS,
)
_MOST_LISTED = 20


class Plan(NamedTuple):
    """What to compile: shapes of all arguments, and the search's settings."""

    params: avits.Params
    arguments: tuple[Any, ...]
    settings: dict[str, Any]


class Compiled(NamedTuple):
    """What the compiler said of one program, bytes and operations per chip.

    `spare` is the share of a chip's memory that must be left over.
    """

    topology: str
    chips: int
    hosts: int
    num_candidates: int
    weights: str
    memory: dict[str, int]
    flops: float
    found: list[Collective]
    seconds: float
    hbm_bytes: int
    spare: float = 0.1

    @property
    def network_bytes(self) -> int:
        """Bytes that one chip ends up with from others, in one search."""
        return sum(each.total_bytes for each in self.found)

    @property
    def memory_bytes(self) -> int:
        """Bytes of arguments, results, temporaries and code together."""
        return sum(self.memory.values())

    @property
    def room(self) -> float | None:
        """Bytes of the chip's memory; None where it is not known here."""
        chip = self.chip
        return chip and chip.memory

    @property
    def chip(self) -> Chip | None:
        """Peaks of the chip; None where they are not known here."""
        return CHIPS.get(self.topology.partition(":")[0])

    @property
    def predicted(self) -> dict[str, float]:
        """Seconds a search takes at each peak, if nothing else held it up."""
        if self.chip is None:
            return {}
        return {
            "matrix units": self.flops / self.chip.matrix,
            "main memory": self.hbm_bytes / self.chip.hbm,
            "network": self.network_bytes / self.chip.network,
        }

    @property
    def fits(self) -> bool:
        """False where the chip is known to have too little memory, `spare` left out."""
        if self.room is None:
            return True
        return self.memory_bytes <= (1 - self.spare) * self.room

    @property
    def hbm_per_candidate(self) -> float:
        """Bytes to and from the memory of a chip for each of its candidates."""
        return self.hbm_bytes * self.chips / self.num_candidates


def make_plan(options: argparse.Namespace) -> Plan:
    """State what a best of N with ARW takes, for a model and its verifiers."""
    model = _generator(options)
    judges = full_size.judges(
        options.verifiers,
        model.made,
        tiny=options.model.endswith("-tiny"),
        candidate_batch=options.verifier_batch,
    )
    aggregator = avits.arw([1 / len(judges)] * len(judges))
    cond = avits.Cond(model.cond, tuple(each.cond for each in judges))
    fresh = (jax.random.key(0), aggregator.init(len(judges)))
    key, state = full_size.shapes(fresh)
    settings = {
        "generator": model.made,
        "verifiers": tuple(each.made for each in judges),
        "aggregator": aggregator,
    }
    return Plan(
        avits.Params(model.params, tuple(each.params for each in judges)),
        (key, cond, state),
        settings,
    )


def _generator(options: argparse.Namespace) -> full_size.Part:
    if options.model == "mini":
        return full_size.mini(options.steps)
    sizes = {
        "resolution": options.resolution,
        "aspect_ratio": options.aspect_ratio,
        "duration": options.duration,
    }
    if options.model == full_size.CLIPS:
        return full_size.clips(**sizes)
    own = avits.generators.options(options.model)
    sizes |= {"num_steps": options.steps, "decode_frames": options.decode_frames}
    sizes["text_bucket"] = options.text_bucket
    return full_size.published(
        options.model,
        text_states=options.text_states,
        dtype=options.dtype,
        **{name: value for name, value in sizes.items() if value and name in own},
    )


def compile_for(options: argparse.Namespace, plan: Plan, topology: str) -> Compiled:
    """Compile for one topology, with weights shared by groups of chips."""
    shared = options.model_axis
    described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    devices: list[jax.Device] = list(described.devices)
    mesh = make_mesh(devices=devices, model=shared, branch=options.branches)
    num_candidates = options.candidates_per_chip * len(devices) // options.branches
    batch = options.candidate_batch
    drafting = {}
    if options.draft is not None:
        draft = plan.settings["generator"].drafts[options.draft]
        drafting = {"draft": draft, "num_kept": len(devices)}
    search, params = jit_search(
        avits.draft_best_of_n if drafting else avits.best_of_n,
        plan.params,
        mesh,
        num_candidates=num_candidates,
        candidate_batch=batch and batch * len(devices),
        gather=options.gather,
        **drafting,
        **plan.settings,
    )
    started = time.perf_counter()
    traced = search.trace(params, *plan.arguments)
    program = traced.lower().compile()
    seconds = time.perf_counter() - started
    memory = program.memory_analysis()
    kinds = ("argument", "output", "temp", "generated_code")
    text = program.as_text()
    if options.hlo:
        Path(options.hlo).write_text(text)
    return Compiled(
        topology,
        len(devices),
        len({device.process_index for device in devices}),
        num_candidates,
        f"split over {shared}" if shared > 1 else "copied",
        {name: getattr(memory, f"{name}_size_in_bytes") for name in kinds},
        count_flops(traced.jaxpr) / len(devices),
        collectives(text),
        seconds,
        moved_bytes(text),
        options.spare,
    )


def describe(result: Compiled) -> str:
    """Return a paragraph about one program."""
    memory = ", ".join(f"{k} {v / GIB:.4f}" for k, v in result.memory.items())
    listed = sorted(result.found, key=lambda each: -each.total_bytes)
    lines = [
        f"{result.topology}: {result.chips} chips, {result.hosts} hosts, "
        f"N = {result.num_candidates}, weights {result.weights}",
        f"  memory per chip, GiB: {memory}; together {_verdict(result)}",
        f"  operations per chip: {result.flops:.3e} (matrix products, Fourier "
        "transforms; loops counted in full)",
        f"  bytes per chip to and from its main memory: {result.hbm_bytes:,}",
        f"  bytes per chip across the network: {result.network_bytes:,}",
        f"  seconds per candidate at the chip's peaks: {_predicted(result)}",
        f"  traced and compiled in {result.seconds:.0f} s",
        f"  {len(listed)} collectives (bytes of one execution x executions):",
    ]
    lines += [f"    {_collective(each)}" for each in listed[:_MOST_LISTED]]
    if len(listed) > _MOST_LISTED:
        less = sum(each.total_bytes for each in listed[_MOST_LISTED:])
        lines.append(f"    {len(listed) - _MOST_LISTED} smaller ones: {less:,}")
    return "\n".join(lines)


def _verdict(result: Compiled) -> str:
    gigabytes = f"{result.memory_bytes / 1e9:.2f} GB"
    if result.room is None:
        return gigabytes
    verb = "fits into" if result.fits else "does NOT fit into"
    return f"{gigabytes}, {verb} {_room(result)}"


def _room(result: Compiled) -> str:
    """Return the chip's memory and what of it must be left over, in words."""
    spare = f" with {result.spare:.0%} to spare" if result.spare else ""
    return "?" if result.room is None else f"{result.room / 1e9:.0f} GB{spare}"


def faults(result: Compiled, most_hbm: float, most_network: float) -> list[str]:
    """Return what must not be, a line each.

    Args:
        result: of one program.
        most_hbm: bytes that a candidate may move through a chip's memory.
        most_network: bytes that a chip may be sent.
    """
    found, moved = [], result.hbm_per_candidate
    if not result.fits:
        found.append(f"needs {result.memory_bytes / 1e9:.2f} GB of {_room(result)}")
    if moved > most_hbm:
        found.append(
            f"moves {moved / 1e12:.3g} TB a candidate; {most_hbm / 1e12:.3g} accepted"
        )
    if result.network_bytes > most_network:
        sent = f"{result.network_bytes / 1e9:.3g} GB"
        found.append(f"sends {sent} to a chip; {most_network / 1e9:.3g} accepted")
    return found


def _predicted(result: Compiled) -> str:
    # All chips work at once, each on as many candidates one after the other.
    share = result.chips / result.num_candidates
    parts = [f"{part} {s * share:.3g}" for part, s in result.predicted.items()]
    return ", ".join(parts) or "not known"


def _collective(each: Collective) -> str:
    arrays = ", ".join(f"{dtype}{list(shape)}" for dtype, shape in each.shapes)
    return f"{each.kind} {each.bytes:,} x {each.times}: {arrays}  {each.scope}"


def table(results: list[Compiled]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| topology | chips | hosts | N | weights | memory per chip (MiB) | fits "
        "| GFLOP per chip | main memory (GB) | collectives "
        "| bytes per chip across the network | seconds |",
        "| --- | --: | --: | --: | --- | --: | --- | --: | --: | --: | --: | --: |",
    ]
    for each in results:
        size = each.memory_bytes / 2**20
        room = "?" if each.room is None else f"{each.room / 1e9:.0f} GB"
        lines.append(
            f"| {each.topology} | {each.chips} | {each.hosts} | {each.num_candidates} "
            f"| {each.weights} | {size:.1f} | {'yes' if each.fits else 'no'}, {room} "
            f"| {each.flops / 1e9:.1f} | {each.hbm_bytes / 1e9:.4g} "
            f"| {sum(c.times for c in each.found)} "
            f"| {each.network_bytes:,} | {each.seconds:.0f} |"
        )
    return "\n".join(lines)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="mini", choices=MODELS, help="generator")
    add("--verifiers", nargs="+", help="mini's, or brightness for other models")
    add("--topology", nargs="+", required=True, help="v5e:8x8, v5p:4x4x4, ...")
    add("--candidates-per-chip", type=int, default=1)
    add(
        "--candidate-batch",
        type=int,
        help="of these, worked on at once; the winner is then decoded again",
    )
    add(
        "--draft",
        type=int,
        help="choose among these drafts of the model; one a chip is made in full",
    )
    add(
        "--model-axis",
        type=int,
        default=1,
        help="chips that share one copy of the weights; 1 copies them to every chip",
    )
    add(
        "--branches",
        type=int,
        default=1,
        help="chips that work on the same candidates, one branch of guidance each",
    )
    add(
        "--gather",
        default="auto",
        choices=get_args(GatherChoice),
        help="when split weights are gathered; auto: as they fit",
    )
    add("--dtype", default="bfloat16", help="of the weights; float8 where there is one")
    add("--steps", type=int, help="denoising steps; the model's own")
    add("--resolution", help="240p and others; 512x768 and others of LTX-2")
    add("--aspect-ratio", help="height to width; 9:16")
    add("--duration", help="2s, 4s, ... or a number of frames")
    add("--text-states", action="store_true", help="states of the text are given")
    add("--text-bucket", type=int, help="T5 tokens of JavisDiT's prompt; the most, 300")
    add("--decode-frames", type=int, help="frames that are decoded at once; 4")
    add("--verifier-batch", type=int, help="clips a verifier works on at once")
    add(
        "--optimization-level",
        choices=("O0", "O1", "O2", "O3"),
        help="the compiler's; O1 is several times quicker than its default",
    )
    add("--hlo", help="file for the text of the (last) compiled program")
    no_limit = float("inf")
    add("--spare", type=float, default=0.1, help="memory left over, a share; 0.1")
    add("--most-hbm", type=float, default=no_limit, help="TB a candidate; no limit")
    add("--most-network", type=float, default=no_limit, help="GB a chip; no limit")
    options = parser.parse_args(arguments)
    if options.verifiers is None:
        mini = options.model == "mini"
        options.verifiers = _MINI_JUDGES if mini else (full_size.BRIGHTNESS,)
    if options.candidates_per_chip < 1:
        parser.error("--candidates-per-chip must be at least 1")
    if not 0 <= options.spare < 1:
        parser.error(f"--spare must lie in [0, 1), got {options.spare}")
    if importlib.util.find_spec("libtpu") is None:
        parser.error('the TPU compiler is missing; pip install "avits_jax[tpu]"')
    return options


def main(arguments: list[str] | None = None) -> int:
    """Compile for every topology; 1 if one cannot be had, or takes too much."""
    options = parse(arguments)
    if options.optimization_level:
        jax.config.update("jax_optimization_level", options.optimization_level)
    limits = options.most_hbm * 1e12, options.most_network * 1e9
    plan = make_plan(options)
    results, wrong = [], False
    for topology in options.topology:
        try:
            results.append(compile_for(options, plan, topology))
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            print(f"compile_tpu: {topology}: {reason}", file=sys.stderr)
            return 1
        print(describe(results[-1]), flush=True)
        for line in faults(results[-1], *limits):
            print(f"compile_tpu: {topology}: {line}", file=sys.stderr)
            wrong = True
    print(f"\n{table(results)}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
