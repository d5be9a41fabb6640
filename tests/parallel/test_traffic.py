"""Bytes that compiled programs move, on programs whose answer is known."""

import jax
import jax.numpy as jnp

from avits_jax.parallel.traffic import kernels

PROGRAM = """\
HloModule jit_run

%part (p.0: bf16[6,100], p.1: s32[], p.2: f32[100]) -> f32[100] {
  %p.0 = bf16[6,100]{1,0} parameter(0)
  %p.1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %row = bf16[1,100]{1,0} dynamic-slice(%p.0, %p.1, %zero), dynamic_slice_sizes={1,100}
  %wide = f32[1,100]{1,0} convert(%row)
  %flat = f32[100]{0} bitcast(%wide)
  %p.2 = f32[100]{0} parameter(2)
  ROOT %sum = f32[100]{0} add(%flat, %p.2)
}

%store (q.0: f32[6,100], q.1: f32[100], q.2: s32[]) -> (f32[6,100], f32[]) {
  %q.0 = f32[6,100]{1,0} parameter(0)
  %q.1 = f32[100]{0} parameter(1)
  %row.1 = f32[1,100]{1,0} bitcast(%q.1)
  %q.2 = s32[] parameter(2)
  %zero.1 = s32[] constant(0)
  %put = f32[6,100]{1,0} dynamic-update-slice(%q.0, %row.1, %q.2, %zero.1)
  %one = f32[] constant(1)
  ROOT %both = (f32[6,100]{1,0}, f32[]) tuple(%put, %one)
}

%body (s: (s32[], bf16[6,100], f32[100])) -> (s32[], bf16[6,100], f32[100]) {
  %s = (s32[], bf16[6,100]{1,0}, /*index=2*/f32[100]{0}) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %w = bf16[6,100]{1,0} get-tuple-element(%s), index=1
  %x = f32[100]{0} get-tuple-element(%s), index=2
  %next = f32[100]{0} fusion(%w, %i, %x), kind=kLoop, calls=%part
  ROOT %out = (s32[], bf16[6,100]{1,0}, f32[100]{0}) tuple(%i, %w, %next)
}

%test (t: (s32[], bf16[6,100], f32[100])) -> pred[] {
  %t = (s32[], bf16[6,100]{1,0}, f32[100]{0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (a: bf16[6,100], b: f32[100], c: f32[6,100], k: s32[]) -> f32[100] {
  %a = bf16[6,100]{1,0} parameter(0)
  %b = f32[100]{0} parameter(1)
  %c = f32[6,100]{1,0} parameter(2)
  %k = s32[] parameter(3)
  %start = (s32[], bf16[6,100]{1,0}, f32[100]{0}) tuple(%k, %a, %b)
  %loop = (s32[], bf16[6,100]{1,0}, f32[100]{0}) while(%start), condition=%test, \
body=%body, backend_config={"known_trip_count":{"n":"6"}}
  %y = f32[100]{0} get-tuple-element(%loop), index=2
  %kept = (f32[6,100]{1,0}, f32[]) fusion(%c, %y, %k), kind=kLoop, calls=%store
  %call = (f32[100]{0}, s8[4096]{0}) custom-call(%y, %b), \
custom_call_target="__cublas$lt$matmul", metadata={op_name="jit(run)/dot_general"}
  ROOT %z = f32[100]{0} get-tuple-element(%call), index=0
}
"""


def test_slices_updates_loops_and_library_calls():
    found = {k.instruction.name: (k.read, k.written, k.times) for k in kernels(PROGRAM)}
    assert found == {
        # A row of the weights, the index, the carry; six turns.
        "next": (200 + 4 + 400, 400, 6),
        # What is updated in place is not read, and written where the update lies.
        "kept": (400 + 4, 400 + 4, 1),
        # The workspace is no result.
        "call": (800, 400, 1),
    }
    call = next(k for k in kernels(PROGRAM) if k.instruction.name == "call")
    assert call.instruction.target == "__cublas$lt$matmul"
    assert call.instruction.scope == "jit(run)/dot_general"
    assert call.total_bytes == 1200


def test_a_product_inside_a_scan_moves_its_arrays_every_turn():
    def run(x, stack):
        return jax.lax.scan(lambda x, w: (jnp.sin(x @ w), None), x, stack)[0]

    arrays = jnp.ones((64, 256)), jnp.ones((5, 256, 256))
    moved = sum(
        each.total_bytes
        for each in kernels(jax.jit(run).lower(*arrays).compile().as_text())
    )
    # A turn reads the carry and a matrix and writes the carry, if all fuses.
    least = 5 * 4 * (64 * 256 * 2 + 256 * 256)
    assert least <= moved < 4 * least
