"""What several verifiers, or all candidates, share is computed once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.aggregation import weighted
from avits_jax.search import best_of_n, evosearch
from avits_jax.search.rewards import stacked_rewards
from avits_jax.types import Media, SharedPass
from avits_jax.verifiers.stack import from_pass, stack

MEDIA = Media(jnp.linspace(0, 1, 24).reshape(4, 1, 1, 2, 3), jnp.ones((4, 5)))


def _tower(passes, name="tower"):
    def rewards(params, media, cond):
        passes.append(name)
        level = params * media.video.mean(axis=(1, 2, 3, 4)) + cond
        return {"level": level, "loss": -level}

    return SharedPass(name, rewards)


def test_a_shared_tower_runs_once_and_gives_every_column():
    passes = []
    shared, other = _tower(passes), _tower(passes, "other")
    verifiers = [
        from_pass("a", shared, "level", None),
        from_pass("b", other, "level", None),
        from_pass("c", shared, "loss", None),
    ]
    params, conds = (2.0, 3.0, 2.0), (1.0, 0.0, 1.0)
    rewards = stack(verifiers)(params, MEDIA, conds)
    assert passes == ["tower", "other"]
    alone = [
        verifier.score(p, MEDIA, c)
        for verifier, p, c in zip(verifiers, params, conds, strict=True)
    ]
    np.testing.assert_array_equal(rewards, jnp.stack(alone, axis=1))


def test_a_tower_that_returns_the_wrong_shape_is_named():
    broken = SharedPass("broken", lambda *_: {"x": jnp.zeros(3)})
    with pytest.raises(ValueError, match=r"'a'.*\(4,\), got \(3,\)"):
        stacked_rewards([from_pass("a", broken, "x", None)], [()], MEDIA, [()])


@pytest.mark.parametrize(
    "search",
    [
        functools.partial(best_of_n, num_candidates=4, candidate_batch=2),
        functools.partial(evosearch, schedule=(0, 2), population_sizes=(3, 3, 3)),
    ],
)
def test_a_prompt_is_prepared_once(toy, search):
    """The prepared condition is what every function of the generator gets."""
    prepared = []

    def prepare(params, cond):
        prepared.append(params)
        return jax.tree.map(lambda x: x / params["frequency"], cond)

    bound = functools.partial(
        search, verifiers=toy.verifiers, aggregator=weighted([1.0, 1.0])
    )
    key, scaled = jax.random.key(0), toy.params.generator["frequency"]
    cond = toy.cond._replace(
        generator=jax.tree.map(lambda x: x * scaled, toy.cond.generator)
    )
    found = bound(
        toy.params, key, cond, generator=toy.generator._replace(prepare=prepare)
    )
    assert len(prepared) == 1
    wanted = bound(toy.params, key, toy.cond, generator=toy.generator)
    np.testing.assert_allclose(found.rewards, wanted.rewards, rtol=1e-4, atol=1e-5)
