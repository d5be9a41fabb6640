"""Verifiers that only watch: a column of the output, and nothing else."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.aggregation import weighted
from avits_jax.search import best_of_n
from avits_jax.types import SharedPass, Verifier
from avits_jax.verifiers.stack import from_pass

KEY = jax.random.key(5)


def _watched(toy, score):
    """Return the toy with a watcher between its two verifiers."""
    watcher = Verifier("watcher", score, guides=False)
    first, second = toy.verifiers

    def between(pair):
        return pair._replace(verifiers=(pair.verifiers[0], (), pair.verifiers[1]))

    return toy._replace(
        verifiers=(first, watcher, second),
        params=between(toy.params),
        cond=between(toy.cond),
    )


def _gives_up(params, media, cond):
    """NaN for all but the first, whose reward would overflow."""
    first = jnp.arange(media.video.shape[0]) == 0
    return jnp.where(first, 1e30, jnp.nan)


def test_a_watcher_changes_nothing_but_its_column(small, build_toy):
    toy = build_toy(4, with_extra=True)
    watched = _watched(toy, _gives_up)
    # Not compiled: two programs would round differently where scores nearly cancel.
    plain, output = (
        small.bind(each)(each.params, KEY, each.cond, None) for each in (toy, watched)
    )
    assert np.isnan(output.rewards[:, 1]).any() and plain.best_index >= 0
    assert output.outliers[1] >= 1
    chex.assert_trees_all_equal(
        output._replace(rewards=output.rewards[:, ::2], outliers=output.outliers[::2]),
        plain,
    )
    spent = int(plain.nfe), int(plain.decodes), int(plain.verifier_calls)
    assert small.predicted_cost(watched)[:3] == spent


def test_a_watcher_looks_at_finished_clips_alone(small, build_toy):
    toy = build_toy(4)
    seen = []

    def count(params, media, cond):
        seen.append(media.video.shape[0])
        return media.video[:, 0, 0, 0, 0]

    watched = _watched(toy, count)
    output = jax.eval_shape(small.bind(watched), watched.params, KEY, watched.cond)
    # Elites are not looked at again; a loop is traced for two of its three chunks.
    unseen = {"evosearch": 2, "zero_order": 2, "adaptive_best_of_n": 2}
    assert sum(seen) == output.rewards.shape[0] - unseen.get(small.search.__name__, 0)


def test_a_pass_that_guide_and_watcher_share_runs_once(toy):
    passes = []

    def rewards(params, media, cond):
        passes.append(None)
        level = media.video.mean(axis=(1, 2, 3, 4))
        return {"guide": level, "watcher": -level}

    shared = SharedPass("shared", rewards)
    verifiers = [from_pass(name, shared, name, None) for name in ("watcher", "guide")]
    verifiers[0] = verifiers[0]._replace(guides=False)
    output = best_of_n(
        (toy.params.generator, ((), ())),
        KEY,
        (toy.cond.generator, ((), ())),
        generator=toy.generator,
        verifiers=verifiers,
        aggregator=weighted([2.0]),
        num_candidates=3,
    )
    assert len(passes) == 1 and output.verifier_calls == 3
    np.testing.assert_array_equal(output.rewards[:, 0], -output.rewards[:, 1])
    np.testing.assert_allclose(output.scores, 2 * output.rewards[:, 1], rtol=1e-6)


def test_somebody_must_guide(cases, toy):
    watchers = [verifier._replace(guides=False) for verifier in toy.verifiers]
    search = cases["best_of_n"].bind(toy._replace(verifiers=watchers))
    with pytest.raises(ValueError, match=r"must guide, got \['picture', 'sound'\]"):
        search(toy.params, KEY, toy.cond)


def test_a_reward_too_large_to_square_fails_its_candidate(toy):
    def score(params, media, cond):
        return jnp.asarray([1.0, 1e19, 3e19, -jnp.inf])

    output = best_of_n(
        (toy.params.generator, ((),)),
        KEY,
        (toy.cond.generator, ((),)),
        generator=toy.generator,
        verifiers=[Verifier("far", score)],
        aggregator=weighted([1.0]),
        num_candidates=4,
    )
    np.testing.assert_array_equal(output.failed, [False, False, True, True])
    np.testing.assert_array_equal(output.outliers, [1])
    assert output.best_index == 1 and output.valid.all()
    assert np.isneginf(output.scores[2:]).all()
