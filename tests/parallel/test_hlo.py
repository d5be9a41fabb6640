"""The readers of compiled and of traced programs, on programs whose answer is known."""

import jax
import jax.numpy as jnp

from avits_jax.parallel.flops import count_flops
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
