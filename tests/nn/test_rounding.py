"""Float32 arithmetic that rounds as the originals do, compiled or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.nn.rounding import divide, float32_line


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, lambda f: jax.jit(jax.vmap(f))])
def test_division_is_not_turned_into_a_product(wrap):
    x = np.arange(1, 4097, dtype=np.float32).reshape(64, 64)
    ours = wrap(lambda x: (divide(2.0 * x, 65_535.0) - 1.0) * 3.0)(jnp.asarray(x))
    wanted = (2 * x / np.float32(65_535) - np.float32(1)) * np.float32(3)
    np.testing.assert_array_equal(ours, wanted)
    reciprocal = 2 * x * (1 / np.float32(65_535))
    assert np.any((reciprocal - np.float32(1)) * np.float32(3) != wanted)


def test_lines_are_counted_from_the_nearer_end():
    line = float32_line(-1, 1, 2048)
    np.testing.assert_array_equal(line, -line[::-1])
    assert line.dtype == np.float32 and (line[0], line[-1]) == (-1, 1)
    np.testing.assert_allclose(line, np.linspace(-1, 1, 2048), atol=1.2e-7)
    assert float32_line(0, 9, 1).tolist() == [0]
    assert float32_line(0, 9, 2).tolist() == [0, 9]


def test_steps_of_a_line_are_rounded_once():
    line = float32_line(-1, 1, 200)
    step = np.float32(2) / np.float32(199)
    exact = np.float64(step) * np.arange(100) - 1
    np.testing.assert_array_equal(line[:100], exact.astype(np.float32))
    twice = step * np.arange(100, dtype=np.float32) - np.float32(1)
    assert np.any(line[:100] != twice)


def test_a_divided_picture_has_gradients():
    slope = jax.grad(lambda x: jnp.sum(divide(x, 4.0)))(jnp.ones(3))
    np.testing.assert_allclose(slope, 0.25)
