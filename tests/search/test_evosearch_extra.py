"""Conditioning that is random per candidate moves with it, unless told to stay."""

from functools import partial

import jax
import numpy as np
import pytest

from avits_jax.aggregation import weighted
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
