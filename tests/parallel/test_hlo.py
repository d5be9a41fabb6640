"""The readers of compiled and of traced programs, on programs whose answer is known."""

import jax
import jax.numpy as jnp

from avits_jax.parallel.flops import count_flops
from avits_jax.parallel.hbm import hbm_bytes
from avits_jax.parallel.hlo import array_bytes, collectives

PROGRAM = """\
HloModule jit_run

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%turn (p: (s32[], f32[8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(24)
  %p = (s32[], f32[8]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

%inner (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]) parameter(0)
  %x = f32[8]{0:T(128)} get-tuple-element(%p), index=1
  %go = (f32[2]{0}, f32[8]{0}) all-gather-start(%x), dimensions={0}, channel_id=1
  %part = bf16[9]{0} all-gather(%x), channel_id=2, dimensions={0}
  %gathered = f32[8]{0} all-gather-done(%go)
  ROOT %out = (s32[], f32[8]) tuple(%p, %gathered)
}

%outer (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]) parameter(0)
  ROOT %w = (s32[], f32[8]) while(%p), condition=%turn, body=%inner
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %w = (s32[], f32[8]) while(%x), condition=%unknown, body=%outer, \
backend_config={"known_trip_count":{"n":"3"}}
  %both = (bf16[4,2]{1,0:T(2,128)(2,1)S(1)}, pred[]) all-reduce(%x, %w), \
to_apply=%add, metadata={op_name="jit(run)/sum"}
  %begin = bf16[9]{0} all-gather(%x), channel_id=2, dimensions={0}
  %cp = (f32[4]{0}, f32[4]{0}, u32[]{:S(2)}, u32[]) collective-permute-start(%x)
  ROOT %end = f32[4]{0} collective-permute-done(%cp)
}
"""


def test_collectives_are_found_counted_and_measured():
    found = [
        (each.kind, each.shapes, each.times, each.bytes, each.scope)
        for each in collectives(PROGRAM)
    ]
    assert found == [
        ("all-gather", (("f32", (8,)),), 72, 32, ""),
        ("all-gather", (("bf16", (9,)),), 1, 18, ""),
        ("all-reduce", (("bf16", (4, 2)), ("pred", ())), 1, 17, "jit(run)/sum"),
        ("collective-permute", (("f32", (4,)),), 1, 16, ""),
    ]
    assert collectives(PROGRAM)[0].total_bytes == 72 * 32


def test_bytes_of_every_width():
    widths = {"pred": 1, "s8": 1, "bf16": 2, "f32": 4, "u64": 8, "c64": 8, "s4": 0.5}
    for dtype, size in widths.items():
        assert array_bytes(dtype, (6, 3)) == 18 * size
    assert array_bytes("f8e4m3fn", (3,)) == 3


def test_a_program_of_one_device_has_none():
    compiled = jax.jit(lambda x: (x @ x).sum()).lower(jnp.ones((4, 4))).compile()
    assert collectives(compiled.as_text()) == []


def test_operations_count_every_turn_of_a_scan():
    matrix = jnp.ones((8, 8))

    def body(x, _):
        return x @ matrix, None

    def program(x):
        x, _ = jax.lax.scan(body, x, None, length=10)
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ matrix, lambda: x)

    traced = jax.jit(program).trace(jnp.ones((4, 8)))
    assert count_flops(traced.jaxpr) == 11 * 2 * 4 * 8 * 8


def test_operations_of_convolutions_and_fourier_transforms():
    image, kernel = jnp.ones((2, 9, 9, 3)), jnp.ones((3, 3, 3, 5))

    def convolve(x, k):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, k, (1, 1), "VALID", dimension_numbers=layout
        )

    traced = jax.jit(convolve).trace(image, kernel)
    assert count_flops(traced.jaxpr) == 2 * (3 * 3 * 3) * (2 * 7 * 7 * 5)
    fourier = jax.jit(jnp.fft.fft).trace(jnp.ones((3, 16), jnp.complex64))
    assert count_flops(fourier.jaxpr) == 5 * 48 * 4


MOVES = """\
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
    assert hbm_bytes(MOVES) == 3 * turn + kernel + negation + update + ahead
