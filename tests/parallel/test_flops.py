"""Operations are counted through loops, branches and nested programs."""

import jax
import jax.numpy as jnp

from avits_jax.parallel import flops

_A, _B = jax.ShapeDtypeStruct((2, 3), float), jax.ShapeDtypeStruct((3, 5), float)


def count_flops(function, *shapes, **options):
    return flops.count_flops(jax.make_jaxpr(function)(*shapes), **options)


def test_matrix_products_are_counted_in_every_step_of_a_scan():
    def loop(a, b):
        body = jax.jit(lambda carry, _: (carry + a @ b, None))
        return jax.lax.scan(body, jnp.zeros((2, 5)), length=7)[0]

    assert count_flops(lambda a, b: a @ b, _A, _B) == 2 * 2 * 3 * 5
    assert count_flops(loop, _A, _B) == 7 * 2 * 2 * 3 * 5
    assert count_flops(loop, _A, _B, whole_loops=False) == 2 * 2 * 3 * 5


def test_convolutions_are_counted_by_output():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        )

    x, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, 6, 2), (3, 2, 4)))
    assert count_flops(convolve, x, kernel) == 2 * (4 * 4) * (3 * 2)


def test_forms_for_cpus_alone_are_not_counted():
    def multiply(a, b):
        return jax.lax.platform_dependent(
            a, b, cpu=lambda a, b: a @ b + a @ b, default=jnp.matmul
        )

    assert count_flops(multiply, _A, _B) == 2 * 2 * 3 * 5

    def either(a, b):
        both = jnp.matmul, lambda a, b: a @ b + a @ b
        return jax.lax.cond(a[0, 0] > 0, *both, a, b)

    assert count_flops(either, _A, _B) == 2 * 2 * 2 * 3 * 5
