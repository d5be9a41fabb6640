"""Elites, tournaments, mutations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.sampling import noise_like
from avits_jax.search import level_mutation, reference_mutation
from avits_jax.search.operators import (
    Parents,
    draw_tournaments,
    elites,
    tournament,
    tournament_size,
)

SCORES = jnp.asarray([1.0, jnp.nan, 3.0, -jnp.inf, 3.0, 2.0])
NUM = 20_000


def test_elites_are_the_best_first_of_ties_first():
    np.testing.assert_array_equal(elites(SCORES, 4), [2, 4, 5, 0])


def test_tournament_winners():
    draws = jnp.asarray([[0, 1], [1, 3], [4, 2], [5, 0]])
    np.testing.assert_array_equal(tournament(SCORES, draws), [0, 1, 4, 5])


def test_nobody_meets_himself_and_children_draw_for_themselves():
    key = jax.random.key(0)
    draws = np.asarray(draw_tournaments(key, 0, 50, 6, 4))
    assert all(len(set(row)) == 4 for row in draws)
    assert draws.min() == 0 and draws.max() == 5
    np.testing.assert_array_equal(draw_tournaments(key, 0, 3, 6, 4), draws[:3])


@pytest.mark.parametrize(
    ("ratio", "num", "size"), [(0.5, 5, 2), (0.1, 4, 1), (1, 7, 7)]
)
def test_tournament_size(ratio, num, size):
    assert tournament_size(ratio, num) == size


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.5, float("nan")])
def test_tournament_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(ValueError, match=r"tournament_ratio must lie in \(0, 1\]"):
        tournament_size(ratio, 4)


def _gaussian(start, sigma):
    """The flow of data N(0, 0.5^2): every level is a multiple of the first noise."""
    return start * np.sqrt((1 - sigma) ** 2 * 0.25 + sigma**2)


def _family(step, sigma, next_sigma):
    keys = jax.random.split(jax.random.key(0), (2, NUM))
    start, noise = (noise_like(k, jnp.zeros((NUM, 1))) for k in keys)
    now, later = _gaussian(start, sigma), _gaussian(start, next_sigma)
    return Parents(now, later, step, sigma, next_sigma), noise


@pytest.mark.parametrize("rate", [0.2, 0.6])
@pytest.mark.parametrize(
    ("sigma", "next_sigma"), [(1.0, 0.95), (0.5, 0.45), (0.3, 0.2)]
)
def test_level_mutation_keeps_the_marginal(rate, sigma, next_sigma):
    parents, noise = _family(1, sigma, next_sigma)
    children = level_mutation(rate)(parents, noise)
    wanted = float(parents.latents.std())
    assert abs(float(children.std()) / wanted - 1) < 0.02
    assert float(jnp.abs(children - parents.latents).mean()) > 0.1 * rate * sigma


def test_reference_mutation_raises_the_level():
    parents, noise = _family(1, 0.5, 0.45)
    children = reference_mutation(0.2)(parents, noise)
    np.testing.assert_allclose(children, parents.latents + 0.5 * noise, atol=1e-6)
    warped = reference_mutation(0.2, timesteps=(1.0, 0.25, 0.0))(parents, noise)
    np.testing.assert_allclose(warped, parents.latents + 0.25 * noise, atol=1e-6)


def test_both_mutations_agree_on_pure_noise():
    parents, noise = _family(0, 1.0, 0.9)
    np.testing.assert_allclose(
        level_mutation(0.3)(parents, noise),
        reference_mutation(0.3)(parents, noise),
        atol=1e-6,
    )


@pytest.mark.parametrize("make", [level_mutation, reference_mutation])
def test_mutation_rate_out_of_range_is_refused(make):
    with pytest.raises(ValueError, match="rate"):
        make(0.0)
