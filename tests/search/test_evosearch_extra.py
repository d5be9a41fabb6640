"""EvoSearch: what candidates carry along, and by which state they are judged."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.aggregation import arw, weighted
from avits_jax.sampling import noise_like
from avits_jax.search import EvoOptions, evosearch

KEY = jax.random.key(4)


def evolve(toy, **options):
    search = partial(
        evosearch,
        generator=toy.generator,
        verifiers=toy.verifiers,
        aggregator=weighted([1.0, 1.0]),
        schedule=(1,),
        population_sizes=(5, 5),
        options=EvoOptions(redenoise_elites=True, **options),
        keep_latents=True,
    )
    output = jax.jit(search)(toy.params, KEY, toy.cond)
    prior = np.asarray(output.latents.extra["prior"])
    return prior[:5], prior[5:]


def test_extra_moves_with_its_candidate(toy_extra):
    first, second = evolve(toy_extra)
    assert set(second) <= set(first) and not np.array_equal(first, second)


def test_extra_stays_in_its_slot_as_in_the_original(toy_extra):
    first, second = evolve(toy_extra, extra_by_slot=True)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("again", "sizes", "named"),
    [(False, (5, 5), "redenoise_elites"), (True, (4, 5), "population_sizes")],
)
def test_what_cannot_stay_is_refused(toy_extra, again, sizes, named):
    options = EvoOptions(redenoise_elites=again, extra_by_slot=True)
    with pytest.raises(ValueError, match=named):
        evosearch(
            toy_extra.params,
            KEY,
            toy_extra.cond,
            generator=toy_extra.generator,
            verifiers=toy_extra.verifiers,
            aggregator=weighted([1.0, 1.0]),
            schedule=(1,),
            population_sizes=sizes,
            options=options,
        )


def test_parents_are_judged_by_what_has_been_learned(toy_extra):
    """With rewards on scales of 1 and 1000, a fresh state would choose others."""
    picture, sound = toy_extra.params.verifiers
    weights = picture, sound | {"scale": jnp.float32(-1000)}
    aggregator = arw([0.9, 0.1], "closed_form")
    search = partial(
        evosearch,
        generator=toy_extra.generator,
        verifiers=toy_extra.verifiers,
        aggregator=aggregator,
        schedule=(1,),
        population_sizes=(8, 5),
        options=EvoOptions(tournament_ratio=1.0),
        keep_latents=True,
    )
    params = toy_extra.params._replace(verifiers=weights)
    output = jax.jit(search)(params, jax.random.key(6), toy_extra.cond)
    first = output.rewards[:8]
    fresh = aggregator.init(2)
    learned, state = aggregator.update(first, fresh)
    chosen, others = (
        np.argsort(-np.asarray(scores))[:2]
        for scores in (learned, aggregator.score(first, fresh))
    )
    assert chosen[0] not in others
    np.testing.assert_allclose(output.rewards[8:10], first[chosen], rtol=1e-5)
    prior = output.latents.extra["prior"]
    np.testing.assert_array_equal(prior[10:], prior[chosen[0]])
    final = aggregator.score(output.rewards, output.aggregator_state)
    np.testing.assert_allclose(output.scores, final, rtol=1e-5)


def test_children_draw_the_same_noise_whether_elites_are_kept_or_made_again(toy):
    """What a step draws goes by a candidate's place, and elites have the first ones."""

    def step(params, keys, candidates, i, cond):
        moved = toy.generator.step(params, keys, candidates, i, cond)
        noise = noise_like(keys, moved.latents)
        latents = jax.tree.map(lambda x, e: x + 0.1 * e, moved.latents, noise)
        return moved._replace(latents=latents)

    found = []
    for again in (False, True):
        search = partial(
            evosearch,
            generator=toy.generator._replace(step=step),
            verifiers=toy.verifiers,
            aggregator=weighted([1.0, 1.0]),
            schedule=(1,),
            population_sizes=(5, 5),
            options=EvoOptions(num_elites=2, redenoise_elites=again),
        )
        found.append(jax.jit(search)(toy.params, KEY, toy.cond, None).rewards)
    kept, made_again = found
    np.testing.assert_allclose(kept[7:], made_again[7:], rtol=1e-5)
    assert not np.allclose(kept[5:7], made_again[5:7], equal_nan=True)
