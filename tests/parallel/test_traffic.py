"""Bytes that compiled programs move, on programs whose answer is known."""

import jax
import jax.numpy as jnp

from avits_jax.parallel.traffic import kernels, moved_bytes

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
    moved = moved_bytes(jax.jit(run).lower(*arrays).compile().as_text())
    # A turn reads the carry and a matrix and writes the carry, if all fuses.
    least = 5 * 4 * (64 * 256 * 2 + 256 * 256)
    assert least <= moved < 4 * least


ON_A_TPU = """\
HloModule moves

%slice_and_add (a: bf16[4,256], i: s32[], b: bf16[256]) -> bf16[256] {
  %a = bf16[4,256]{1,0:T(8,128)(2,1)} parameter(0)
  %i = s32[] parameter(1)
  %row = bf16[1,256]{1,0:T(8,128)(2,1)S(1)} dynamic-slice(%a, %i), \
dynamic_slice_sizes={1,256}
  %flat = bf16[256]{0:T(256)} bitcast(%row)
  %b = bf16[256]{0:T(256)} parameter(2)
  ROOT %sum = bf16[256]{0:T(256)} add(%flat, %b)
}

%store (c: f32[4,128], d: f32[1,128], j: s32[]) -> f32[4,128] {
  %c = f32[4,128]{1,0} parameter(0)
  %d = f32[1,128]{1,0} parameter(1)
  %j = s32[] parameter(2)
  ROOT %put = f32[4,128]{1,0} dynamic-update-slice(%c, %d, %j)
}

%more (p: (s32[], bf16[256])) -> pred[] {
  %limit = s32[]{:S(4)} constant(3)
  %p = (s32[]{:S(4)}, bf16[256]) parameter(0)
  %n = s32[]{:S(4)} get-tuple-element(%p), index=0
  ROOT %less = pred[]{:S(4)} compare(%n, %limit), direction=LT
}

%turn (p: (s32[], bf16[256])) -> (s32[], bf16[256]) {
  %p = (s32[]{:S(4)}, bf16[256]{0:T(256)}) parameter(0)
  %n = s32[]{:S(4)} get-tuple-element(%p), index=0
  %x = bf16[256]{0:T(256)} get-tuple-element(%p), index=1
  %w = bf16[4,256]{1,0:T(8,128)(2,1)} constant({...})
  %y = bf16[256]{0:T(256)} fusion(%w, %n, %x), kind=kLoop, calls=%slice_and_add
  ROOT %out = (s32[]{:S(4)}, bf16[256]{0:T(256)}) tuple(%n, %y)
}

ENTRY %main (x: bf16[256], c: f32[4,128], d: f32[1,128]) -> f32[4,128] {
  %x = bf16[256]{0:T(256)} parameter(0)
  %c = f32[4,128]{1,0} parameter(1)
  %d = f32[1,128]{1,0} parameter(2)
  %zero = s32[]{:S(4)} constant(0)
  %begin = (s32[]{:S(4)}, bf16[256]{0:T(256)}) tuple(%zero, %x)
  %loop = (s32[]{:S(4)}, bf16[256]{0:T(256)}) while(%begin), condition=%more, \
body=%turn
  %near = f32[5,100]{1,0:T(8,128)S(1)} custom-call(%x), custom_call_target="k"
  %far = f32[5,100]{1,0:T(8,128)} negate(%near)
  %go = ((f32[4,128]{1,0}), f32[2,128]{1,0:S(1)}, s32[]{:S(2)}) slice-start(%c), \
slice={[0:2], [0:128]}
  ROOT %kept = f32[4,128]{1,0} fusion(%c, %d, %zero), kind=kLoop, calls=%store
}
"""


def test_bytes_of_main_memory_are_those_of_slices_tiles_and_turns():
    # A turn reads one row in its tile of 8 rows, and 256 numbers; it writes these.
    turn = 8 * 256 * 2 + 2 * 256 * 2
    kernel = 256 * 2  # writes to the chip's own memory
    negation = 8 * 128 * 4  # reads from there, writes whole tiles
    update = 2 * 128 * 4  # one row in, one row out
    ahead = 2 * 128 * 4  # two of four rows, fetched while others compute
    assert moved_bytes(ON_A_TPU) == 3 * turn + kernel + negation + update + ahead


RENAMED = """\
HloModule nested

%again (p: f32[256,128]) -> f32[256,128,1] {
  %p = f32[256,128]{1,0} parameter(0)
  ROOT %same = f32[256,128,1]{1,0,2} bitcast(%p)
}

%product (x: f32[16,256], w: f32[256,128]) -> f32[16,128] {
  %x = f32[16,256]{1,0} parameter(0)
  %w = f32[256,128]{1,0} parameter(1)
  %v = f32[256,128,1]{1,0,2} fusion(%w), kind=kLoop, calls=%again
  ROOT %y = f32[16,128]{1,0} convolution(%x, %v)
}

ENTRY %main (x: f32[16,256], w: f32[256,128]) -> f32[16,128] {
  %x = f32[16,256]{1,0} parameter(0)
  %w = f32[256,128]{1,0} parameter(1)
  ROOT %y = f32[16,128]{1,0} fusion(%x, %w), kind=kOutput, calls=%product
}
"""


def test_what_an_inner_fusion_only_renames_is_read():
    (kernel,) = kernels(RENAMED)
    assert kernel.read == 4 * (16 * 256 + 256 * 128)
    assert kernel.written == 4 * 16 * 128
