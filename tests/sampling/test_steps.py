"""Moves on the noise path: algebra, marginals, dtypes, independence of candidates."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avits_jax.sampling import (
    clean_from_noise,
    clean_from_velocity,
    flow_step,
    linear_sigmas,
    noise_from_clean,
    noise_like,
    renoise,
    sde_step,
    velocity_from_clean,
)

pytestmark = pytest.mark.usefixtures("strict_core")

NUM = 20_000


def _tree(seed: int, num: int = 3):
    shapes = {"a": jnp.zeros((num, 2, 2)), "b": jnp.zeros((num, 5))}
    keys = jax.random.split(jax.random.key(seed), num)
    return noise_like(keys, shapes)


def _close(left, right, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), left, right)


def _on_path(clean, noise, sigma):
    return jax.tree.map(lambda x, e: (1 - sigma) * x + sigma * e, clean, noise)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 0.9), st.floats(0.0, 0.9))
def test_flow_step_stays_on_the_path(sigma, fraction):
    clean, noise = _tree(0), _tree(1)
    latents = _on_path(clean, noise, sigma)
    stepped = flow_step(latents, clean, sigma, fraction * sigma)
    _close(stepped, _on_path(clean, noise, fraction * sigma))


@pytest.mark.parametrize("sigma", [0.2, 0.7])
def test_conversions_invert_each_other(sigma):
    clean, noise = _tree(0), _tree(1)
    latents = _on_path(clean, noise, sigma)
    velocity = jax.tree.map(lambda x, e: e - x, clean, noise)
    _close(velocity_from_clean(latents, clean, sigma), velocity)
    _close(noise_from_clean(latents, clean, sigma), noise)
    _close(clean_from_velocity(latents, velocity, sigma), clean)
    _close(clean_from_noise(latents, noise, sigma), clean)


def test_sde_step_with_eta_zero_is_the_ode_step():
    latents, clean, noise = _tree(0), _tree(1), _tree(2)
    _close(
        sde_step(latents, clean, noise, 0.8, 0.6, 0.0),
        flow_step(latents, clean, 0.8, 0.6),
    )


def test_sde_step_ends_on_the_clean_sample():
    latents, clean, noise = _tree(0), _tree(1), _tree(2)
    _close(sde_step(latents, clean, noise, 0.2, 0.0), clean)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("sigma", "next_sigma"), [(1.0, 0.7), (0.6, 0.4)])
def test_sde_step_keeps_the_marginal_given_the_clean_sample(sigma, next_sigma, eta):
    keys = jax.random.split(jax.random.key(0), (2, NUM))
    start, fresh = (noise_like(k, jnp.zeros((NUM, 1))) for k in keys)
    clean = jnp.full((NUM, 1), 0.5)
    stepped = sde_step(
        (1 - sigma) * clean + sigma * start, clean, fresh, sigma, next_sigma, eta
    )
    assert abs(float(stepped.mean()) - (1 - next_sigma) * 0.5) < 0.02
    assert abs(float(stepped.std()) / next_sigma - 1) < 0.02


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ode_and_sde_reach_the_same_distribution(eta):
    """Data N(0, 0.5^2) has the exact denoiser (1-s) c^2 z / ((1-s)^2 c^2 + s^2)."""
    keys = jax.random.split(jax.random.key(3), (81, NUM))
    sigmas = linear_sigmas(80)

    def body(z, inputs):
        sigma, next_sigma, key = inputs
        shrink = (1 - sigma) * 0.25 / ((1 - sigma) ** 2 * 0.25 + sigma**2)
        fresh = noise_like(key, z)
        return sde_step(z, shrink * z, fresh, sigma, next_sigma, eta), None

    start = noise_like(keys[80], jnp.zeros((NUM,)))
    levels = jnp.asarray(sigmas)
    final, _ = jax.lax.scan(body, start, (levels[:-1], levels[1:], keys[:80]))
    assert abs(float(final.std()) - 0.5) < 0.02


@pytest.mark.parametrize(("sigma", "higher"), [(0.0, 0.4), (0.3, 0.6), (0.5, 1.0)])
def test_renoise_reaches_the_higher_marginal(sigma, higher):
    keys = jax.random.split(jax.random.key(1), (2, NUM))
    start, fresh = (noise_like(k, jnp.zeros((NUM, 1))) for k in keys)
    latents = (1 - sigma) * 0.5 + sigma * start
    moved = renoise(latents, fresh, sigma, higher)
    assert abs(float(moved.mean()) - (1 - higher) * 0.5) < 0.02
    assert abs(float(moved.std()) / higher - 1) < 0.02


@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.0])
def test_renoise_to_the_same_level_changes_nothing(sigma):
    latents, noise = _tree(0), _tree(1)
    _close(renoise(latents, noise, sigma, sigma), latents, atol=1e-6)


def test_noise_does_not_depend_on_the_population():
    keys = jax.random.split(jax.random.key(0), 5)
    whole = noise_like(keys, {"a": jnp.zeros((5, 4)), "b": jnp.zeros((5, 4))})
    part = noise_like(keys[3:], {"a": jnp.zeros((2, 4)), "b": jnp.zeros((2, 4))})
    np.testing.assert_array_equal(whole["a"][3:], part["a"])
    assert not np.array_equal(whole["a"], whole["b"])
    assert len(np.unique(whole["a"])) == whole["a"].size


def test_low_precision_latents_keep_their_dtype():
    latents = jax.tree.map(lambda x: x.astype(jnp.bfloat16), _tree(0))
    for moved in (
        flow_step(latents, latents, jnp.float32(0.5), jnp.float32(0.25)),
        sde_step(latents, latents, latents, 0.5, 0.25),
        renoise(latents, latents, 0.25, 0.5),
    ):
        assert {leaf.dtype for leaf in jax.tree.leaves(moved)} == {
            jnp.dtype("bfloat16")
        }


def test_traced_levels_equal_static_ones():
    latents, clean, noise = _tree(0), _tree(1), _tree(2)
    eager = sde_step(latents, clean, noise, 0.8, 0.6), renoise(latents, noise, 0.3, 0.9)
    jitted = (
        jax.jit(sde_step)(latents, clean, noise, 0.8, 0.6),
        jax.jit(renoise)(latents, noise, 0.3, 0.9),
    )
    _close(eager, jitted, atol=1e-6)


def test_levels_per_leaf_are_levels_leaf_by_leaf():
    latents, clean, noise = _tree(0), _tree(1), _tree(2)
    now, after = {"a": 0.8, "b": 0.5}, {"a": 0.6, "b": 0.1}
    moves = (
        lambda z, x, e, s, t: flow_step(z, x, s, t),
        lambda z, x, e, s, t: sde_step(z, x, e, s, t, 0.7),
        lambda z, x, e, s, t: renoise(z, e, t, s),
        lambda z, x, e, s, t: clean_from_velocity(z, x, s),
        lambda z, x, e, s, t: clean_from_noise(z, x, s),
        lambda z, x, e, s, t: velocity_from_clean(z, x, s),
        lambda z, x, e, s, t: noise_from_clean(z, x, s),
    )
    for move in moves:
        together = jax.jit(move)(latents, clean, noise, now, after)
        for name in latents:
            alone = jax.jit(move)(
                latents[name], clean[name], noise[name], now[name], after[name]
            )
            np.testing.assert_array_equal(together[name], alone)


class InEveryForm(chex.TestCase):
    """Steps compiled or not, and of what lies on a device."""

    @chex.variants(with_jit=True, without_jit=True, with_device=True)
    def test_a_step_follows_its_formula(self):
        clean, noise = _tree(0), _tree(1)
        latents = _on_path(clean, noise, 0.8)
        stepped = self.variant(flow_step)(latents, clean, 0.8, 0.3)
        chex.assert_trees_all_close(stepped, _on_path(clean, noise, 0.3), atol=1e-6)
