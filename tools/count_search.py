"""How mini's search grows: work, bytes and memory, counted from its compiled programs.

    python tools/count_search.py

Best-of-N with ARW over mini's three verifiers, compiled for eight virtual CPU devices
and not run. From a base of N = 4, four steps, one prompt, one device, one axis at a
time is made longer: candidates, candidates worked on at once, steps, prompts by
`jax.vmap`, and devices, with N in proportion. Bytes and memory are those of a device.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ["JAX_PLATFORMS"] = "cpu"
_FLAG = "--xla_force_host_platform_device_count=8"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402

import avits_jax as avits  # noqa: E402
from avits_jax.parallel import jit_search, make_mesh  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402
from avits_jax.parallel.hlo import collectives  # noqa: E402
from avits_jax.parallel.traffic import kernels  # noqa: E402
from tools import full_size  # noqa: E402

_JUDGES = ("mini_tv", "mini_ta", "mini_av")


class Case(NamedTuple):
    """One program.

    Attributes:
        num_candidates: of all devices together.
        candidate_batch: of these, worked on at once; None for all.
        steps: of denoising.
        prompts: searched for side by side.
        devices: that share the candidates.
    """

    num_candidates: int = 4
    candidate_batch: int | None = None
    steps: int = 4
    prompts: int = 1
    devices: int = 1


# By the axis that grows.
CASES = {
    "N": [Case(n) for n in (1, 4, 16, 64)],
    "candidate_batch": [Case(16, batch) for batch in (1, 4, 16)],
    "steps": [Case(steps=steps) for steps in (4, 8, 24)],
    "prompts": [Case(prompts=prompts) for prompts in (1, 2, 4)],
    "devices": [Case(4 * count, devices=count) for count in (1, 2, 8)],
}


class Counts(NamedTuple):
    """What one device does, moves and holds.

    Attributes:
        flops: of matrix products, convolutions and Fourier transforms.
        moved: bytes that kernels read and write.
        temporaries: bytes of memory beside arguments and results.
        network: bytes that come from other devices.
        kernels: in the text of the program, whatever their executions.
    """

    flops: float
    moved: int
    temporaries: int
    network: int
    kernels: int


Parts = tuple[full_size.Part, Sequence[full_size.Part]]
"""A generator and its verifiers."""


def mini(steps: int) -> Parts:
    """Return mini and its three verifiers."""
    model = full_size.mini(steps)
    return model, full_size.judges(_JUDGES, model.made)


def count(case: Case, make: Callable[[int], Parts] = mini) -> Counts:
    """Compile a search and count.

    Args:
        case: its sizes.
        make: ``steps -> parts``, of which only shapes are needed.
    """
    model, judges = make(case.steps)
    aggregator = avits.arw([1 / len(judges)] * len(judges))
    settings = {
        "generator": model.made,
        "verifiers": tuple(each.made for each in judges),
        "aggregator": aggregator,
        "num_candidates": case.num_candidates,
        "candidate_batch": case.candidate_batch,
    }
    params = avits.Params(model.params, tuple(each.params for each in judges))
    cond = avits.Cond(model.cond, tuple(each.cond for each in judges))
    search: Any
    key, state = full_size.shapes((jax.random.key(0), aggregator.init(len(judges))))
    if case.devices > 1:
        mesh = make_mesh(devices=jax.devices()[: case.devices])
        search, params = jit_search(avits.best_of_n, params, mesh, **settings)
    elif case.prompts > 1:
        many = partial(jax.ShapeDtypeStruct, dtype=key.dtype)
        key, cond = many((case.prompts,)), _repeated(cond, case.prompts)
        one = partial(avits.best_of_n, **settings)
        search = jax.jit(jax.vmap(one, (None, 0, 0, None)))
    else:
        search = jax.jit(partial(avits.best_of_n, **settings))
    traced = search.trace(params, key, cond, state)
    program = traced.lower().compile()
    text = program.as_text()
    found = kernels(text)
    return Counts(
        count_flops(traced.jaxpr) / case.devices,
        sum(each.total_bytes for each in found),
        program.memory_analysis().temp_size_in_bytes,
        sum(each.total_bytes for each in collectives(text)),
        len(found),
    )


def _repeated(tree, count: int):
    """Return the shapes of so many trees, stacked."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), tree
    )


def rows() -> Iterator[str]:
    """Count every case; yield the lines of a Markdown table."""
    yield (
        "| axis | N | batch | steps | prompts | devices | GFLOP | MB moved "
        "| temporary MB | network bytes | kernels |"
    )
    yield "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    done: dict[Case, Counts] = {}
    for axis, cases in CASES.items():
        for case in cases:
            found = done[case] = done.get(case) or count(case)
            yield (
                f"| {axis} | {case.num_candidates} | {case.candidate_batch or 'all'} "
                f"| {case.steps} | {case.prompts} | {case.devices} "
                f"| {found.flops / 1e9:.2f} | {found.moved / 1e6:,.0f} "
                f"| {found.temporaries / 1e6:.1f} | {found.network:,} "
                f"| {found.kernels} |"
            )


def main() -> None:
    """Print the table, a line as soon as it is counted."""
    for line in rows():
        print(line, flush=True)


if __name__ == "__main__":
    main()
