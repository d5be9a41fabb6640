"""tools/compile_gpu.py, and what it reads of a compiled program."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import goldens  # noqa: F401  (makes tools importable)
import pytest

from avits_jax.parallel.traffic import kernels
from tools import gpu_program

TOOL = Path(__file__).parents[2] / "tools" / "compile_gpu.py"
HAS_COMPILER = importlib.util.find_spec("jax_cuda12_plugin") is not None

PROGRAM = """\
HloModule jit_run

ENTRY %main (a: bf16[8,64], b: bf16[64,8]) -> f32[8,8] {
  %a = bf16[8,64]{1,0} parameter(0)
  %b = bf16[64,8]{1,0} parameter(1)
  %loop_pad_fusion = bf16[8,64]{1,0} copy(%a)
  %q = (f32[2,8,8]{2,1,0}, s8[4096]{0}) custom-call(%loop_pad_fusion, %b), \
custom_call_target="__cublas$lt$matmul", \
metadata={op_name="jit(run)/vmap(BTNH,BSNH->BNTS)/dot_general"}
  %flash = (bf16[8,64]{1,0}, u8[0]{0}) custom-call(%a), \
custom_call_target="__cudnn$fmhaSoftmax"
  %conv = (bf16[8,64]{1,0}, u8[0]{0}) custom-call(%a), \
custom_call_target="__cudnn$convForward"
  ROOT %plain = f32[8,8]{1,0} convolution(%a, %b), dim_labels=bf_io->bf
}
"""


def compiled(**changes):
    result = gpu_program.Compiled(
        card="h200",
        num_candidates=2,
        memory={"argument": 24 * 10**9, "output": 10**9, "temp": 10**9},
        flops=989e12,
        kernels=kernels(PROGRAM),
        plain=[],
        logits=gpu_program.written_logits(PROGRAM),
        seconds=12.0,
    )
    return result._replace(**changes)


def test_kinds_bytes_and_seconds_are_told():
    result = compiled()
    pad, product, call = 2 * 1024, 2048 + 512, 2 * 1024
    assert result.moved == pad + product + 2 * call + (2048 + 256)
    assert result.predicted == (1.0, result.moved / 4.8e12)
    text = gpu_program.describe(result, most_kernels=1)
    assert "cuDNN flash attention: 1, 1," in text
    assert "cuDNN convolution: 1, 1," in text
    assert "cuBLAS product: 1, 1," in text and "padding: 1, 1," in text
    assert "logits written to memory: f32[2, 8, 8] 0.0 MB" in text
    dearest = "q f32[2, 8, 8], s8[4096] jit(run)/vmap(BTNH,BSNH->BNTS)/dot_general"
    assert text.splitlines()[-1] == f"  0.0 GB in 1: {dearest}"
    row = gpu_program.table([result]).splitlines()[-1]
    assert row.startswith("| h200 | 2 | 24.000 | 1.000 | 1, 1, 1 |")
    assert "| 494 |" in row and "| 500 |" in row and row.endswith("| 12 |")


def test_what_must_not_be_is_told_in_a_line_each():
    assert gpu_program.faults(compiled(), 1000) == []
    plain = gpu_program.left_plain(PROGRAM)
    assert plain == [("f32", (8, 8))]
    wrong = compiled(card="h100", plain=plain, memory={"temp": 90 * 10**9})
    assert gpu_program.faults(wrong, 500) == [
        "needs 90.0 GB of memory; the card has 80",
        "1 convolutions are not cuDNN's, such as that to f32[8, 8]",
        "attention writes logits f32[2, 8, 8] of 0 MB; at most 0 MB are accepted",
    ]


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def test_without_the_compiler_the_extra_is_named():
    if HAS_COMPILER:
        pytest.skip("the CUDA compiler is installed")
    done = run_tool("--card", "h200")
    assert done.returncode == 2
    assert 'pip install "avits_jax[cuda12]"' in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not HAS_COMPILER, reason="needs jax-cuda12-plugin, extra cuda12")
@pytest.mark.slow  # the CUDA compiler takes 10 s and more for the whole search
def test_a_search_compiles_for_a_card_that_is_not_there():
    done = run_tool("--steps", "2", "--most-logits", "0.0001")
    assert "h100: N = 1" in done.stdout, done.stderr
    assert "cuBLAS product" in done.stdout
    assert done.returncode == 1
    assert "compile_gpu: h100: attention writes logits" in done.stderr
