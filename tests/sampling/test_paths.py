"""Models of other parametrisations against plain loops of their own, in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.aggregation import weighted
from avits_jax.sampling import (
    denoise,
    from_edm,
    from_epsilon,
    from_velocity,
    levels_at,
    noise_like,
    sde_step,
    step_keys,
)
from avits_jax.search import best_of_n, smc
from avits_jax.types import Media, Verifier

STEPS = 12
SHAPE = jax.ShapeDtypeStruct((4,), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), 3)
COND = jnp.asarray([0.5, -0.3, 0.1, 0.8])
# Stable Diffusion's betas, and the cosine schedule, which ends at abar 2e-9.
_BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
_COSINE = np.cos((np.arange(1, 1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
TIMES = np.linspace(999, 40, STEPS).round().astype(int)
ABARS = {
    "stable diffusion": np.cumprod(1 - _BETAS)[TIMES],
    "cosine": np.maximum(_COSINE, 2.4e-9)[TIMES],
}
SIGMAS = (
    80 ** (1 / 7) + np.linspace(0, 1, STEPS) * (0.01 ** (1 / 7) - 80 ** (1 / 7))
) ** 7


def _decode(params, candidates):
    video = jax.nn.sigmoid(candidates.latents)[:, None, None, :, None]
    return Media(jnp.repeat(video, 3, -1), jnp.tanh(candidates.latents))


def _network(params, z, time, cond):
    """Any function of its arguments, near a noise prediction."""
    return params * jnp.tanh(z + cond) + 0.1 * jnp.cos(time / 100)


def _plain_network(z, time):
    return 0.9 * np.tanh(z + np.asarray(COND, np.float64)) + 0.1 * np.cos(time / 100)


def _run(generator, eta):
    """Denoise by `step`, or by `sde_step` where `eta` is 1; and the noises used."""
    start = generator.init(0.9, KEYS, COND)
    if not eta:
        final, _ = jax.jit(functools.partial(denoise, generator=generator))(
            0.9, KEYS, start, COND
        )
        return start.latents, final.latents, None

    @jax.jit
    def step(candidates, i):
        noise = noise_like(step_keys(KEYS, i), candidates.latents)
        clean = generator.predict(0.9, candidates, i, COND)
        levels = (levels_at(generator.sigmas, j) for j in (i, i + 1))
        latents = sde_step(candidates.latents, clean, noise, *levels)
        return candidates._replace(latents=latents), noise

    noises, moved = [], start
    for i in range(STEPS):
        moved, noise = step(moved, jnp.int32(i))
        noises.append(np.asarray(noise, np.float64))
    return start.latents, moved.latents, noises


def _vp_loop(z, abar, clean_and_noise, noises):
    """DDIM (Song et al. 2021, eq. 12 and 16) with eta 0, or 1 if noises are given."""
    for i, now in enumerate(abar):
        after = abar[i + 1] if i + 1 < len(abar) else 1.0
        clean, eps = clean_and_noise(z, i, now)
        tau = 0.0
        if noises is not None:
            tau = np.sqrt((1 - after) / (1 - now)) * np.sqrt(1 - now / after)
        z = np.sqrt(after) * clean + np.sqrt(max(1 - after - tau**2, 0)) * eps
        if noises is not None:
            z = z + tau * noises[i]
    return z


def _from_noise(z, i, abar):
    eps = _plain_network(z, TIMES[i])
    return (z - np.sqrt(1 - abar) * eps) / np.sqrt(abar), eps


def _from_v(z, i, abar):
    v = _plain_network(z, TIMES[i])
    signal, noise = np.sqrt(abar), np.sqrt(1 - abar)
    return signal * z - noise * v, noise * z + signal * v


@pytest.mark.parametrize("eta", [0, 1])
@pytest.mark.parametrize(
    ("make", "clean_and_noise", "schedule"),
    [
        (from_epsilon, _from_noise, "stable diffusion"),
        (from_velocity, _from_v, "stable diffusion"),
        (from_velocity, _from_v, "cosine"),
    ],
)
def test_variance_preserving_models_equal_their_plain_loop(
    make, clean_and_noise, schedule, eta
):
    abar = ABARS[schedule]
    generator = make(_network, abar, latents=SHAPE, decode=_decode, timesteps=TIMES)
    start, found, noises = _run(generator, eta)
    scale = np.sqrt(abar[0]) + np.sqrt(1 - abar[0])
    z = np.asarray(noise_like(KEYS, start), np.float64)
    np.testing.assert_allclose(scale * start, z, atol=1e-6)
    expected = _vp_loop(z, abar, clean_and_noise, noises)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_ddpm_is_the_stochastic_step():
    """Ho et al. 2020, algorithm 2 with the lower variance, on every timestep."""
    beta = np.linspace(1e-3, 0.3, STEPS)
    abar = np.cumprod(1 - beta)
    times = np.arange(STEPS)[::-1]
    generator = from_epsilon(
        _network, abar[::-1], latents=SHAPE, decode=_decode, timesteps=times
    )
    start, found, noises = _run(generator, 1)
    z = np.asarray(noise_like(KEYS, start), np.float64)
    for step, t in enumerate(times):
        eps = _plain_network(z, t)
        before = abar[t - 1] if t else 1.0
        mean = (z - beta[t] / np.sqrt(1 - abar[t]) * eps) / np.sqrt(1 - beta[t])
        variance = (1 - before) / (1 - abar[t]) * beta[t]
        z = mean + np.sqrt(variance) * noises[step]
    np.testing.assert_allclose(found, z, atol=1e-5 * np.abs(z).max())


def test_edm_equals_its_euler_loop():
    generator = from_edm(_network, SIGMAS, latents=SHAPE, decode=_decode)
    start, found, _ = _run(generator, 0)
    z = SIGMAS[0] * np.asarray(noise_like(KEYS, start), np.float64)
    np.testing.assert_allclose((1 + SIGMAS[0]) * np.asarray(start), z, rtol=1e-6)
    for now, after in zip(SIGMAS, [*SIGMAS[1:], 0.0], strict=True):
        slope = (z - _plain_network(z, now)) / now
        z = z + (after - now) * slope
    np.testing.assert_allclose(found, z, atol=1e-5)


def test_the_first_clean_sample_is_finite():
    """Where hardly any signal is left, and where none is."""
    tiny = from_epsilon(_network, (1e-12, 0.5), latents=SHAPE, decode=_decode)
    none = from_velocity(_network, (0.0, 0.5), latents=SHAPE, decode=_decode)
    for generator in (tiny, none):
        start = generator.init(0.9, KEYS, COND)
        clean = generator.predict(0.9, start, 0, COND)
        assert np.isfinite(clean).all()
        assert np.isfinite(generator.step(0.9, KEYS, start, 0, COND).latents).all()
    # Nothing but noise: the clean sample is the prediction with its sign changed.
    prediction = _network(0.9, start.latents, jnp.int32(0), COND)
    np.testing.assert_allclose(clean, -prediction, rtol=1e-6)


def test_parts_may_have_schedules_of_their_own():
    """Together they go as they go alone."""
    abars = {"audio": ABARS["cosine"], "video": ABARS["stable diffusion"]}
    pairs = zip(*abars.values(), strict=True)
    both = [dict(zip(abars, pair, strict=True)) for pair in pairs]

    def network(params, z, time, cond):
        return jax.tree.map(lambda x: _network(params, x, time, cond), z)

    made = from_velocity(
        network, both, latents=dict.fromkeys(abars, SHAPE), decode=_decode
    )
    start = made.init(0.9, KEYS, COND)
    final, _ = denoise(0.9, KEYS, start, COND, generator=made)
    for name, abar in abars.items():
        alone = from_velocity(_network, abar, latents=SHAPE, decode=_decode)
        begun = start._replace(latents=start.latents[name])
        expected, _ = denoise(0.9, KEYS, begun, COND, generator=alone)
        np.testing.assert_allclose(final.latents[name], expected.latents, atol=1e-6)


@pytest.mark.parametrize(
    ("search", "settings"), [(best_of_n, {}), (smc, {"resample_steps": (3, 8)})]
)
def test_searches_take_them(search, settings):
    generator = from_epsilon(
        _network,
        ABARS["stable diffusion"],
        latents=SHAPE,
        decode=_decode,
        timesteps=TIMES,
        nfe_per_step=2,
        fps=4.0,
    )
    loud = Verifier("loud", lambda params, media, cond: media.audio.mean(1))
    output = jax.jit(
        functools.partial(
            search,
            generator=generator,
            verifiers=(loud,),
            aggregator=weighted([1.0]),
            num_candidates=4,
            **settings,
        )
    )((jnp.float32(0.9), ((),)), jax.random.key(2), (COND, ((),)))
    assert output.nfe == 4 * 2 * STEPS and generator.fps == 4.0
    assert output.rewards.max() == output.rewards[output.best_index]
    assert np.ptp(output.rewards) > 0


@pytest.mark.parametrize(
    ("make", "levels", "options", "message"),
    [
        (from_epsilon, (0.0, 0.5), {}, r"abar must lie in \[1e-12, 1\), got 0.0"),
        (from_velocity, (0.5, 1.0), {}, r"abar must lie in \[0, 1\), got 1.0"),
        (from_velocity, (0.5, 0.4), {}, "sigmas must fall strictly"),
        (from_edm, (80.0, 0.0), {}, r"sigmas must lie in \(0, infinity\), got 0.0"),
        (from_edm, (1.0, 2.0), {}, "sigmas must fall strictly"),
        (from_edm, (), {}, "two or more"),
        (from_edm, (1.0,), {"timesteps": [3, 2]}, r"one entry per step \(1\), got 2"),
    ],
)
def test_levels_that_do_not_fit_are_refused(make, levels, options, message):
    with pytest.raises(ValueError, match=message):
        make(_network, levels, latents=SHAPE, decode=_decode, **options)
