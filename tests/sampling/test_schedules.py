"""Noise levels: values, shifts, refusals."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.sampling import (
    check_sigmas,
    levels_at,
    linear_sigmas,
    shift_sigmas,
    shifted_sigmas,
)


def test_linear_levels():
    assert linear_sigmas(4) == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert linear_sigmas(1, sigma_max=0.5) == (0.5, 0.0)


@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
def test_shift_keeps_ends_and_order(shift):
    levels = shifted_sigmas(10, shift)
    assert levels[0] == 1 and levels[-1] == 0
    assert all(after < before for before, after in itertools.pairwise(levels))
    odds = [s / (1 - s) for s in levels[1:]]
    plain = [s / (1 - s) for s in linear_sigmas(10)[1:]]
    np.testing.assert_allclose(odds, np.multiply(shift, plain), rtol=1e-12)


def test_shifts_compose():
    np.testing.assert_allclose(
        shift_sigmas(shifted_sigmas(7, 2.0), 3.0), shifted_sigmas(7, 6.0), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ((1.0,), "two or more"),
        ((1.0, float("nan"), 0.0), "finite"),
        ((1.5, 0.0), "start at 1"),
        ((1.0, 0.5), "end at 0"),
        ((1.0, 0.5, 0.5, 0.0), "fall strictly"),
        ((), "one structure, got none"),
        (({"a": 1.0}, 0.0), "one structure"),
        (({"a": 1.0, "b": 0.9}, {"a": 0.5, "b": 0.9}, {"a": 0.0, "b": 0.0}), "before"),
    ],
)
def test_bad_levels_are_refused(sigmas, message):
    with pytest.raises(ValueError, match=message):
        check_sigmas(sigmas)


def test_levels_may_be_trees():
    levels = ({"a": 1, "b": (0.5,)}, {"a": 0.25, "b": (0.125,)}, {"a": 0, "b": (0,)})
    assert check_sigmas(levels) == levels
    found = jax.jit(lambda i: levels_at(levels, i))(jnp.int32(1))
    assert found == {"a": 0.25, "b": (0.125,)} == levels_at(levels, 1)
    assert levels_at(linear_sigmas(2), 1) == 0.5


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        linear_sigmas(0)
    with pytest.raises(ValueError, match="sigma_max"):
        linear_sigmas(3, sigma_max=1.2)
    with pytest.raises(ValueError, match="shift must be finite and above 0"):
        shifted_sigmas(3, 0.0)
