"""Picture and sound on schedules of their own, through every search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.aggregation import weighted
from avits_jax.sampling import euler, linear_sigmas, shifted_sigmas
from avits_jax.search import (
    EvoOptions,
    SMCOptions,
    beam_search,
    evosearch,
    level_mutation,
    reference_mutation,
    smc,
)
from avits_jax.search.zero_order import _neighbours
from avits_jax.types import Candidates, Verifier

AUDIO, VIDEO = linear_sigmas(6, sigma_max=0.9), shifted_sigmas(6, 3.0)
BOTH = tuple(
    {"audio": audio, "video": video} for audio, video in zip(AUDIO, VIDEO, strict=True)
)


def _on(toy, sigmas):
    """The toy on other levels, judged by what does not depend on them.

    All candidates earn the same, so that every search chooses the same candidates
    whatever their latents are.
    """
    generator = toy.generator._replace(
        sigmas=sigmas, step=euler(toy.generator.predict, sigmas)
    )
    generator = generator._replace(drafts=(generator,))
    same = Verifier("same", lambda params, media, cond: 0 * media.audio[:, 0])
    return toy._replace(generator=generator, verifiers=(same, same))


def _variants(case):
    """The case with its latents kept, and what else acts on noise levels."""
    kept = case.but(keep_latents=True)
    if case.search is not evosearch:
        yield kept
        return
    for mutation in (level_mutation(0.4), reference_mutation(0.4)):
        yield kept.but(options=EvoOptions(mutation=mutation))


def test_each_part_goes_its_own_way(case, toy):
    """Leaf by leaf what two toys give that have one schedule each."""
    for variant in _variants(case):

        def latents(sigmas, variant=variant):
            problem = _on(toy, sigmas)
            search = jax.jit(variant.bind(problem, weighted([0.5, 0.5])))
            output = search(problem.params, jax.random.key(4), problem.cond, None)
            return output.latents.latents

        together = latents(BOTH)
        alone = {"audio": latents(AUDIO), "video": latents(VIDEO)}
        for name, one in alone.items():
            np.testing.assert_allclose(together[name], one[name], rtol=2e-5, atol=2e-6)
        assert np.abs(alone["video"]["audio"] - together["audio"]).max() > 1e-3


@pytest.mark.parametrize("search", [smc, beam_search])
def test_stochastic_searches_take_levels_of_two_kinds_of_tree(search, toy):
    """A scalar is a prefix of everything: the same levels, told twice."""
    settings = {
        smc: {
            "num_candidates": 3,
            "resample_steps": (2,),
            "options": SMCOptions(keep_latents=True),
        },
        beam_search: {"num_beams": 2, "num_children": 2},
    }[search]

    def rewards(sigmas):
        problem = _on(toy, sigmas)._replace(verifiers=toy.verifiers)
        output = jax.jit(
            lambda key: search(
                problem.params,
                key,
                problem.cond,
                generator=problem.generator,
                verifiers=problem.verifiers,
                aggregator=weighted([0.5, 0.5]),
                **settings,
            )
        )(jax.random.key(1))
        return output.rewards

    twice = tuple({"audio": level, "video": level} for level in VIDEO)
    np.testing.assert_array_equal(rewards(VIDEO), rewards(twice))


def test_zero_order_neighbours_keep_the_first_level(toy):
    """At a first level of 0.5 the noise that is mixed in has that deviation, too."""

    keys = jax.random.split(jax.random.key(0), 4000)
    pivot = Candidates({"audio": jnp.zeros((1, 5)), "video": jnp.zeros((1, 5))})
    levels = {"audio": 0.5, "video": 1.0}
    moved = _neighbours(keys, pivot, 0.6, levels).latents
    for name, level in levels.items():
        np.testing.assert_allclose(moved[name].std(), 0.6 * level, rtol=0.02)
