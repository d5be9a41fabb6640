"""What is particular to SMC: potentials, thresholds, copies that part."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.aggregation import weighted
from avits_jax.search import (
    SMCOptions,
    candidate_keys,
    difference_potential,
    max_potential,
    multinomial,
    smc,
    sum_potential,
)

HISTORY = jnp.asarray([[1.0, 5.0, -jnp.inf], [2.0, 4.0, 3.0]])


@pytest.mark.parametrize(
    ("potential", "wanted"),
    [
        (difference_potential, [1.0, -1.0, 0.0]),
        (max_potential, [2.0, 5.0, 3.0]),
        (sum_potential, [3.0, 9.0, 3.0]),
    ],
)
def test_potentials(potential, wanted):
    np.testing.assert_allclose(potential(HISTORY), wanted)
    np.testing.assert_allclose(potential(HISTORY[:1])[:2], HISTORY[0, :2])


def _search(toy, steps=(0,), num_candidates=4, **options):
    return functools.partial(
        smc,
        generator=toy.generator,
        verifiers=toy.verifiers,
        aggregator=weighted([0.5, 0.5]),
        num_candidates=num_candidates,
        resample_steps=steps,
        options=SMCOptions(**options),
        keep_latents=True,
    )


def _run(toy, **options):
    search = jax.jit(_search(toy, **options))
    return search(toy.params, jax.random.key(0), toy.cond, None)


@pytest.mark.parametrize(
    "potential", [difference_potential, max_potential, sum_potential]
)
def test_an_offset_of_one_verifier_decides_nothing(toy, potential):
    """Scores near 2^20 have steps of 1/8 in float32; what is between them counts."""
    picture, sound = toy.verifiers

    def rewards(offset):
        def score(params, media, cond):
            eighths = jnp.round(8 * picture.score(params, media, cond))
            return offset + eighths / 8  # exact in float32

        return toy._replace(verifiers=(picture._replace(score=score), sound))

    options = {"potential": potential, "ess_threshold": 1.0, "strength": 20.0}
    searches = [
        jax.jit(_search(rewards(offset), (0, 1), 16, **options))
        for offset in (0.0, 2.0**20)
    ]
    for seed in range(4):
        key = jax.random.key(seed)
        near, far = (search(toy.params, key, toy.cond, None) for search in searches)
        latents = near.latents.latents["video"], far.latents.latents["video"]
        np.testing.assert_array_equal(*latents)


def test_copies_of_one_particle_part(toy_extra):
    """An overwhelming potential leaves one ancestor, whose prior all copies keep."""
    output = _run(
        toy_extra,
        strength=1e4,
        potential=max_potential,
        resample=multinomial,
        ess_threshold=1.0,
    )
    prior = output.latents.extra["prior"]
    assert len(np.unique(prior)) == 1
    assert len(np.unique(output.latents.latents["video"][:, 0])) == 4


def test_threshold_zero_never_resamples(toy_extra):
    output = _run(toy_extra, strength=1e4, ess_threshold=0.0)
    assert len(np.unique(output.latents.extra["prior"])) == 4


def test_a_particle_that_fails_has_no_children(toy_extra):
    """Its weight would be the largest: what the others score is far below zero."""
    generator, params = toy_extra.generator, toy_extra.params
    cond = toy_extra.cond.generator
    start = generator.init(params.generator, candidate_keys(jax.random.key(0), 4), cond)
    prior = np.asarray(start.extra["prior"])
    clean = generator.predict(params.generator, start, 0, cond)
    sound = generator.decode(params.generator, start._replace(latents=clean)).audio[
        :, 0
    ]
    failing, limit = np.argmax(sound), np.sort(sound)[-2:].mean()
    picture, judge = params.verifiers
    params = params._replace(verifiers=(1e3 * picture, judge | {"limit": limit}))
    output = _run(toy_extra._replace(params=params), ess_threshold=1.0)
    survivors = np.asarray(output.latents.extra["prior"])
    assert prior[failing] not in survivors and set(survivors) < set(prior)
