"""What holds for every search: transformations, cost, failures, one program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from search_cases import CASES

from avits_jax.aggregation import weighted
from avits_jax.search import best_of_n, evosearch, zero_order
from avits_jax.search.picking import concatenate, pick, pick_from, take_from
from avits_jax.types import Aggregator, Params

KEY = jax.random.key(9)


def _close(left, right, atol=2e-5):
    def compare(a, b):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4)

    jax.tree.map(compare, left, right)


def _without_costs(output):
    return output._replace(nfe=0, decodes=0, verifier_calls=0)


def test_chunks_change_nothing(case, compiled, toy_extra, counter):
    """Uneven chunks give the same results at the same cost, and cost what they say."""
    arguments = toy_extra.params, jax.random.key(3), toy_extra.cond
    whole = compiled(case)(*arguments)
    case = case.but(candidate_batch=2)
    chunked = jax.jit(case.bind(counter.toy(toy_extra)))(*arguments)
    _close(_without_costs(chunked), _without_costs(whole))
    assert (chunked.nfe, chunked.verifier_calls) == (whole.nfe, whole.verifier_calls)
    _check_cost(case, toy_extra, counter, chunked)


def test_steps_may_cost_differently(case, toy, counter):
    """Guidance is off at some steps; operations follow the evaluations."""
    generator = toy.generator._replace(
        nfe_per_step=(1, 2, 2, 4, 1, 3), flops_per_evaluation=1e12
    )
    drafts = [each._replace(flops_per_evaluation=1e12) for each in generator.drafts]
    toy = toy._replace(generator=generator._replace(drafts=tuple(drafts)))
    search = jax.jit(case.bind(counter.toy(toy)))
    output = search(toy.params, jax.random.key(0), toy.cond, None)
    _check_cost(case, toy, counter, output)
    assert output.flops == pytest.approx(1e12 * counter.nfe)
    drawn = case.as_drawn(output)
    assert drawn.predicted_cost(toy).flops == 1e12 * counter.nfe


def _check_cost(case, toy, counter, output):
    spent = counter.cost()
    assert spent == case.as_drawn(output).predicted_cost(toy)[:3]
    assert spent == (output.nfe, output.decodes, output.verifier_calls)


def test_two_prompts_are_one_program_without_callbacks(case, compiled, toy_extra):
    search = compiled(case)
    state = None
    for prompt in range(2):
        cond = jax.tree.map(lambda x, p=prompt: x[p], toy_extra.conds)
        output = search(toy_extra.params, jax.random.key(prompt), cond, state)
        state = output.aggregator_state
    lowered = search.jitted.lower(
        toy_extra.params, jax.random.key(0), toy_extra.cond, state
    )
    assert "callback" not in lowered.as_text()
    assert "outfeed" not in lowered.as_text()


def _limited(toy, limit: float) -> Params:
    picture, sound = toy.params.verifiers
    return Params(
        toy.params.generator, (picture, sound | {"limit": jnp.float32(limit)})
    )


def test_failed_candidates_are_never_chosen(case, compiled, toy_extra):
    params = _limited(toy_extra, 0.2)
    some_failed = some_chosen = 0
    for seed in range(3):
        output = compiled(case)(params, jax.random.key(seed), toy_extra.cond)
        unknown = np.isnan(output.rewards).any(1)
        np.testing.assert_array_equal(output.failed, unknown & output.valid)
        assert (output.scores[unknown] == -np.inf).all()
        some_failed += int(output.failed.any() and not output.failed.all())
        some_chosen += int(output.best_index >= 0)
        if output.best_index >= 0:
            assert not output.failed[output.best_index]
            assert output.scores[output.best_index] == output.scores.max()
        assert all(map(_finite, output.best))
        assert _finite(output.scores[~unknown])
    assert some_chosen
    # The others have sorted the failed ones out before the end.
    assert some_failed or case.search not in (best_of_n, evosearch, zero_order)


def _finite(x) -> bool:
    return bool(np.isfinite(x).all())


def test_all_failed_is_said_so(case, compiled, toy_extra):
    output = compiled(case)(
        _limited(toy_extra, -2.0), jax.random.key(0), toy_extra.cond
    )
    assert output.best_index == -1 and output.failed.all()
    assert not output.best.video.any() and not output.best.audio.any()
    fresh = compiled(case)(
        toy_extra.params, jax.random.key(0), toy_extra.cond
    ).aggregator_state
    again = compiled(case)(
        toy_extra.params, jax.random.key(0), toy_extra.cond, output.aggregator_state
    )
    assert jax.tree.structure(fresh) == jax.tree.structure(output.aggregator_state)
    assert again.best_index >= 0 and all(map(_finite, again.best))


def test_best_is_the_highest_score(case, compiled, toy_extra):
    output = compiled(case)(toy_extra.params, jax.random.key(5), toy_extra.cond)
    assert output.best_index == np.argmax(output.scores)
    assert output.scores.dtype == jnp.float32 and output.best_index.dtype == jnp.int32
    assert output.latents is None and output.media is None
    assert output.best.video.shape == (2, 2, 2, 3)
    assert output.best.audio.shape == (4,)


def test_best_clip_earns_the_rewards_of_its_row(case, compiled, toy_extra):
    """The clip handed out is the one that was scored, not a neighbour's."""
    output = compiled(case)(toy_extra.params, jax.random.key(6), toy_extra.cond)
    clip = jax.tree.map(lambda x: x[None], output.best)
    for verifier, params, cond, reward in zip(
        toy_extra.verifiers,
        toy_extra.params.verifiers,
        toy_extra.cond.verifiers,
        output.rewards[output.best_index],
        strict=True,
    ):
        np.testing.assert_allclose(
            verifier.score(params, clip, cond)[0], reward, rtol=1e-4, atol=1e-6
        )


def test_plain_pairs_are_accepted(case, toy):
    key = jax.random.key(0)
    search = case.bind(toy)
    named = jax.eval_shape(search, toy.params, key, toy.cond, None)
    assert named == jax.eval_shape(
        search, tuple(toy.params), key, tuple(toy.cond), None
    )


def test_nothing_is_promoted_by_accident(case, toy, strict_core):
    def score(rewards, state):
        return rewards.sum(axis=1), state

    aggregator = Aggregator(lambda num: jnp.zeros(num), score, lambda r, s: r.sum(1))
    search = case.bind(toy, aggregator)
    output = jax.eval_shape(search, toy.params, jax.random.key(0), toy.cond, None)
    assert output.rewards.dtype == jnp.float32


@pytest.mark.parametrize("index", [-1, 0, 2])
def test_pick_ignores_what_the_others_hold(index):
    leaves = {
        "x": jnp.asarray([[1.0, 2.0], [jnp.nan, jnp.inf], [5.0, 6.0]]),
        "flag": jnp.asarray([True, False, True]),
        "key": jax.random.split(jax.random.key(0), 3),
    }
    picked = jax.jit(pick)(leaves, jnp.int32(index))
    wanted = leaves["x"][index] if index >= 0 else jnp.zeros(2)
    np.testing.assert_array_equal(picked["x"], wanted)
    assert picked["flag"].dtype == bool and picked["flag"] == (index >= 0)
    if index >= 0:
        assert picked["key"] == leaves["key"][index]


def test_several_populations_are_taken_from_as_if_joined():
    blocks = [
        {"x": jnp.arange(6.0).reshape(3, 2), "key": jax.random.split(KEY, 3)},
        {"x": jnp.arange(6.0, 8.0).reshape(1, 2), "key": jax.random.split(KEY, 1)},
        {"x": jnp.arange(8.0, 12.0).reshape(2, 2), "key": jax.random.split(KEY, 2)},
    ]
    joined = concatenate(blocks)
    order = jnp.asarray([5, 0, 3, 2, 2, 4])
    taken = take_from(blocks, order)
    np.testing.assert_array_equal(taken["x"], joined["x"][order])
    assert (taken["key"] == joined["key"][order]).all()
    for index in range(6):
        picked = pick_from(blocks, jnp.int32(index))
        np.testing.assert_array_equal(picked["x"], joined["x"][index])
        assert picked["key"] == joined["key"][index]
    assert not pick_from(blocks, jnp.int32(-1))["x"].any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"verifiers": ()}, ValueError, "at least one verifier"),
        ({"sigmas": (1.0, 1.0, 0.0)}, ValueError, "fall strictly"),
        ({"params": (0, (1,))}, ValueError, r"params\[1\] must hold one entry"),
        ({"cond": (0, (1, 2, 3))}, ValueError, r"cond\[1\] must hold one entry"),
        ({"params": (0, 1, 2)}, TypeError, None),
    ],
)
def test_problems_that_do_not_fit_are_refused(cases, toy, change, error, message):
    change = dict(change)
    generator = toy.generator._replace(sigmas=change.pop("sigmas", (1.0, 0.5, 0.0)))
    broken = toy._replace(generator=generator, **change)
    with pytest.raises(error, match=message):
        cases["best_of_n"].bind(broken)(
            broken.params, jax.random.key(0), broken.cond, None
        )


@pytest.mark.parametrize("name", ["best_of_n", "zero_order"])
def test_an_offset_of_one_verifier_does_not_decide(name, toy):
    """The winner is that of exact sums, where scores in float32 tie or stray."""
    picture, sound = toy.verifiers

    def far(params, media, cond):
        return 2.0**20 + jnp.round(picture.score(params, media, cond))

    toy = toy._replace(verifiers=(picture._replace(score=far), sound))
    search = jax.jit(CASES[name].but(num_candidates=16).bind(toy, weighted([1.0, 1.0])))
    strayed = 0
    for seed in range(4):
        output = search(toy.params, jax.random.key(seed), toy.cond, None)
        exact = np.asarray(output.rewards, np.float64).sum(axis=1)
        exact = np.where(output.failed, -np.inf, exact)
        assert output.best_index == exact.argmax()
        strayed += int(output.scores.argmax()) != exact.argmax()
    assert strayed
