"""Compile a whole search for NVIDIA cards that are not there.

    python tools/compile_gpu.py                                  # mini, for an H100
    python tools/compile_gpu.py --model javisdit-v0.1 --card h200 --candidates 16 \
        --verifiers javis_score video_reward

Prints, for each card, memory and whether the card has it, what the program calls of
cuDNN and cuBLAS, the bytes that its kernels move through memory and the seconds that
they and the matrix operations take at the card's stated peaks. Exit status 1, and one
line that says why, where a program does not fit, a convolution is left to XLA's own
code, or an attention writes logits larger than --most-logits to memory.

Needs the compiler of the `cuda12` extra (pip install "avits_jax[cuda12]") and no card.
JavisDiT and the large verifiers have bfloat16 weights of full size, of which only the
shapes exist. Nothing is tuned without a card: it may choose other cuBLAS kernels.
"""

import argparse
import functools
import importlib.util
import os
import sys
import time
from pathlib import Path

# The CPU runs; the CUDA compiler alone is asked for. Its own products fail, untuned, on
# some in the highest precision.
os.environ["JAX_PLATFORMS"] = "cpu"
_FLAG = "--xla_gpu_enable_triton_gemm=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax.experimental import topologies  # noqa: E402
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402

import avits_jax as avits  # noqa: E402
from avits_jax.parallel.flops import count_flops  # noqa: E402
from avits_jax.parallel.traffic import kernels  # noqa: E402
from tools import full_size  # noqa: E402
from tools.absent_gpu import absent_gpu  # noqa: E402
from tools.compile_tpu import MODELS, Plan, make_plan  # noqa: E402
from tools.gpu_program import (  # noqa: E402
    CARDS,
    Compiled,
    describe,
    faults,
    left_plain,
    table,
    written_logits,
)

_JUDGES = {"mini": ("mini_tv", "mini_ta", "mini_av")}


def compile_for(options: argparse.Namespace, plan: Plan, card: str) -> Compiled:
    """Compile for one card."""
    target = Path(__file__).parent / "gpu_targets" / f"{card}.txtpb"
    described = topologies.get_topology_desc(
        platform="cuda",
        topology_name="",
        target_config=target.read_text(),
        topology="1x1x1",
    )
    mesh = Mesh(np.array(described.devices), ("card",))
    there = NamedSharding(mesh, PartitionSpec())
    search = functools.partial(
        avits.best_of_n,
        num_candidates=options.candidates,
        candidate_batch=options.candidate_batch,
        **plan.settings,
    )
    started = time.perf_counter()
    jitted = jax.jit(search, in_shardings=there, out_shardings=there)
    traced = jitted.trace(plan.params, *plan.arguments)
    program = traced.lower().compile()
    seconds = time.perf_counter() - started
    text = program.as_text()
    if options.hlo:
        Path(options.hlo).write_text(text)
    memory = program.memory_analysis()
    return Compiled(
        card,
        options.candidates,
        {
            name: getattr(memory, f"{name}_size_in_bytes")
            for name in ("argument", "output", "temp")
        },
        count_flops(traced.jaxpr),
        kernels(text),
        left_plain(text),
        written_logits(text),
        seconds,
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="mini", choices=MODELS, help="generator")
    add("--verifiers", nargs="+", help="mini's, or brightness for other models")
    add("--card", nargs="+", default=["h100"], choices=tuple(CARDS))
    add("--candidates", type=int, default=1, help="N")
    add("--candidate-batch", type=int, help="of these, worked on at once; all")
    add("--dtype", default="bfloat16", help="of the weights; float8 where there is one")
    add("--steps", type=int, help="denoising steps; the model's own")
    add("--resolution", help="240p and others; 512x768 and others of LTX-2")
    add("--aspect-ratio", help="height to width; 9:16")
    add("--duration", help="2s, 4s, ... or a number of frames")
    add("--text-states", action="store_true", help="states of the text are given")
    add("--text-bucket", type=int, help="T5 tokens of JavisDiT's prompt; the most, 300")
    add("--decode-frames", type=int, help="frames that are decoded at once; 4")
    add("--verifier-batch", type=int, help="clips a verifier works on at once")
    add("--most-logits", type=float, default=64, help="MB that are accepted; 64")
    add("--top", type=int, default=0, help="kernels listed by the bytes they move")
    add("--hlo", help="file for the text of the (last) compiled program")
    options = parser.parse_args(arguments)
    if options.verifiers is None:
        options.verifiers = _JUDGES.get(options.model, (full_size.BRIGHTNESS,))
    if options.candidates < 1:
        parser.error(f"--candidates must be at least 1, got {options.candidates}")
    if importlib.util.find_spec("jax_cuda12_plugin") is None:
        parser.error('the CUDA compiler is missing; pip install "avits_jax[cuda12]"')
    return options


def main(arguments: list[str] | None = None) -> int:
    """Compile for every card; 1 if something must not be as it is."""
    options = parse(arguments)
    results, wrong = [], False
    with absent_gpu():
        plan = make_plan(options)
        for card in options.card:
            results.append(compile_for(options, plan, card))
            print(describe(results[-1], options.top), flush=True)
            for line in faults(results[-1], options.most_logits * 1e6):
                print(f"compile_gpu: {card}: {line}", file=sys.stderr)
                wrong = True
    print(f"\n{table(results)}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
