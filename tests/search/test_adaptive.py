"""Adaptive best of N: where it stops, and that it is best of N up to there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from avits_jax.aggregation import arw, rank, zscore_candidate
from avits_jax.search import adaptive_best_of_n, best_of_n
from avits_jax.search.stopping import expected_gain
from avits_jax.types import PER_CANDIDATE, Params

KEY = jax.random.key(12)
AGGREGATOR = arw([0.7, 0.3])


def _search(toy, search=adaptive_best_of_n, aggregator=AGGREGATOR, **settings):
    bound = functools.partial(
        search,
        generator=toy.generator,
        verifiers=toy.verifiers,
        aggregator=aggregator,
        **settings,
    )
    return jax.jit(bound)


@pytest.mark.parametrize("keep_media", [False, True])
def test_the_result_is_best_of_n_of_those_drawn(toy_extra, keep_media):
    """Candidates, scores, winner and learned state; nothing of the other rows."""
    kept = {"keep_media": keep_media, "keep_latents": True}
    arguments = toy_extra.params, KEY, toy_extra.cond, AGGREGATOR.init(2)
    sizes = {"num_candidates": 12, "chunk": 2, "tolerance": 0.4}
    output = _search(toy_extra, **sizes, **kept)(*arguments)
    num_drawn = int(output.valid.sum())
    assert 2 < num_drawn < 12
    rows = slice(num_drawn)
    cut = output._replace(
        **{
            name: jax.tree.map(lambda x: x[rows], getattr(output, name))
            for name in PER_CANDIDATE
        }
    )
    wanted = _search(toy_extra, best_of_n, num_candidates=num_drawn, **kept)(*arguments)
    again = int(not keep_media)
    wanted = wanted._replace(decodes=wanted.decodes + again)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), cut, wanted
    )
    assert np.isnan(output.rewards[num_drawn:]).all()
    assert (output.scores[num_drawn:] == -np.inf).all()
    assert not output.failed.any() and not output.outliers.any()


@pytest.mark.parametrize("make", [rank, zscore_candidate])
def test_scores_of_a_population_are_those_of_the_rows_drawn(toy_extra, make):
    aggregator = make([0.7, 0.3])
    arguments = toy_extra.params, KEY, toy_extra.cond, aggregator.init(2)
    sizes = {"num_candidates": 12, "chunk": 3, "tolerance": 0.6}
    output = _search(toy_extra, aggregator=aggregator, **sizes)(*arguments)
    num_drawn = int(output.valid.sum())
    assert num_drawn < 12
    wanted = _search(toy_extra, best_of_n, aggregator, num_candidates=num_drawn)
    np.testing.assert_allclose(
        output.scores[:num_drawn], wanted(*arguments).scores, atol=1e-5
    )


@pytest.mark.parametrize("chunk", [1, 4, 12])
def test_no_tolerance_draws_all(toy_extra, chunk):
    arguments = toy_extra.params, KEY, toy_extra.cond, None
    search = _search(toy_extra, num_candidates=12, chunk=chunk, tolerance=0)
    output = search(*arguments)
    wanted = _search(toy_extra, best_of_n, num_candidates=12)(*arguments)
    assert output.valid.all() and output.best_index == wanted.best_index
    np.testing.assert_allclose(output.scores, wanted.scores, atol=1e-5)


def test_candidates_that_failed_are_no_sign_of_enough(toy_extra):
    """All fail: the budget is spent. Rows never drawn are not among the failed."""
    picture, sound = toy_extra.params.verifiers
    search = _search(toy_extra, num_candidates=6, chunk=2, tolerance=0.9)
    for limit, least, most in ((-2.0, 6, 6), (2.0, 0, 0)):
        sound = sound | {"limit": jnp.float32(limit)}
        params = Params(toy_extra.params.generator, (picture, sound))
        output = search(params, KEY, toy_extra.cond, None)
        assert least <= output.failed.sum() <= most
        assert output.valid.all() == (limit < 0)


def test_equal_scores_are_enough(toy):
    """Three or more that are all the same say that the next one is, too."""
    same = toy.verifiers[0]._replace(
        score=lambda params, media, cond: 0 * media.audio[:, 0]
    )
    toy = toy._replace(verifiers=(same, same))
    search = _search(toy, num_candidates=12, chunk=2, tolerance=0.01)
    output = search(toy.params, KEY, toy.cond, None)
    assert output.valid.sum() == 4 and output.best_index == 0


def test_a_larger_tolerance_stops_no_later(toy_extra):
    found = [
        int(
            _search(toy_extra, num_candidates=24, chunk=2, tolerance=tolerance)(
                toy_extra.params, KEY, toy_extra.cond, None
            ).valid.sum()
        )
        for tolerance in (0.02, 0.2, 0.5, 2.0)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] == 4


def _wanted_gain(scores, num_drawn, num_more):
    """The formula of the docstring, by SciPy."""
    n, scores = len(scores), np.asarray(scores, float)
    ahead = (scores.max() - scores.mean()) / scores.std(ddof=1)
    fit = stats.t(n - 1, scale=np.sqrt(1 + 1 / n))
    share = n / num_drawn
    return integrate.quad(
        lambda x: 1 - (1 - share * fit.sf(x)) ** num_more, ahead, np.inf
    )[0]


@pytest.mark.parametrize(
    ("count", "num_failed", "num_more"),
    [(3, 0, 1), (3, 0, 8), (4, 2, 4), (16, 0, 4), (64, 5, 8), (500, 0, 1)],
)
def test_expected_gain_is_that_of_the_formula(count, num_failed, num_more):
    scores = np.random.default_rng(count).normal(3, 5, count).astype(np.float32)
    padded = np.concatenate([scores, [np.nan] * num_failed, [-np.inf] * 3])
    gain = jax.jit(expected_gain, static_argnums=2)
    found = gain(jnp.asarray(padded, jnp.float32), count + num_failed, num_more)
    wanted = _wanted_gain(scores, count + num_failed, num_more)
    assert found == pytest.approx(wanted, rel=5e-4)  # two degrees have heavy tails
    # Neither scale, nor offset, nor order of the scores matters.
    moved = gain(jnp.asarray(padded[::-1] * 8 - 64), count + num_failed, num_more)
    assert moved == pytest.approx(float(found), rel=1e-4)


def test_expected_gain_of_many_scores_is_what_draws_gain():
    """Of a thousand scores whose best is easily beaten, by simulation of four more."""
    rng = np.random.default_rng(0)
    scores = np.minimum(rng.normal(size=1000), 1.5).astype(np.float32)
    ahead = (scores.max() - scores.mean()) / scores.std()
    draws = rng.normal(size=(200_000, 4)).max(axis=1)
    wanted = np.maximum(draws - ahead, 0).mean()
    assert expected_gain(jnp.asarray(scores), 1000, 4) == pytest.approx(wanted, 0.03)


@pytest.mark.parametrize(
    ("scores", "gain"),
    [([-np.inf] * 4, np.inf), ([1, 2, np.nan], np.inf), ([2, 2, 2, -np.inf], 0)],
)
def test_expected_gain_of_little(scores, gain):
    assert expected_gain(jnp.asarray(scores, jnp.float32), 3, 4) == gain
