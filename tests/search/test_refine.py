"""Two stages: the best candidates of a search made large, and chosen among again."""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from search_cases import AGGREGATOR, CASES, running_mean

from avits_jax.sampling import noise_like
from avits_jax.search import best_of_n, refine, refine_cost
from avits_jax.search.keys import Stream, stream_key
from avits_jax.types import Candidates, Generator, Media, Params, Refiner, Verifier

KEY = jax.random.key(4)
SIGMAS = (0.6, 0.3, 0.0)


def enlarged(toy) -> Refiner:
    """Return a refiner of the toy, whose clips are twice as high and wide."""
    small = toy.generator

    def start(params, keys, candidates, cond):
        noise = noise_like(keys, candidates.latents)
        latents = jax.tree.map(
            lambda z, e: 0.4 * z + 0.6 * e, candidates.latents, noise
        )
        return candidates._replace(latents=latents)

    def step(params, keys, candidates, i, cond):
        clean = small.predict(params, candidates, i, cond)
        noise = noise_like(keys, candidates.latents)
        latents = jax.tree.map(
            lambda z, x, e: 0.5 * z + 0.5 * x + 0.1 * e,
            candidates.latents,
            clean,
            noise,
        )
        return candidates._replace(latents=latents)

    def decode(params, candidates):
        media = small.decode(params, candidates)
        large = media.video.repeat(2, axis=2).repeat(2, axis=3)
        return media._replace(video=large)

    large = small._replace(step=step, decode=decode, sigmas=SIGMAS, drafts=())
    return Refiner(start, large)


def _refine(toy, aggregator=AGGREGATOR, **settings):
    parts = {"refiner": enlarged(toy), "verifiers": toy.verifiers}
    return functools.partial(refine, aggregator=aggregator, **parts | settings)


@pytest.fixture(scope="module")
def found(toy_extra):
    """A search of six candidates."""
    search = CASES["best_of_n"].but(num_candidates=6, keep_latents=True)
    return jax.jit(search.bind(toy_extra))(toy_extra.params, KEY, toy_extra.cond)


@pytest.fixture(scope="module")
def refine_three(toy_extra):
    """Refines the best three, compiled once."""
    settings = {"num_kept": 3, "keep_media": True, "keep_latents": True}
    return jax.jit(_refine(toy_extra, **settings))


@pytest.fixture(scope="module")
def three(toy_extra, found, refine_three):
    """Its best three, refined."""
    return refine_three(toy_extra.params, KEY, toy_extra.cond, found)


def test_the_best_are_taken_on_best_first(found, three):
    order = np.argsort(-found.scores)[:3]
    np.testing.assert_array_equal(three.kept, order)
    assert three.kept[0] == found.best_index
    np.testing.assert_array_equal(three.rewards_before, found.rewards[order])
    np.testing.assert_array_equal(three.scores_before, found.scores[order])
    np.testing.assert_allclose(
        three.scores,
        AGGREGATOR.score(three.rewards, found.aggregator_state),
        rtol=1e-5,
    )
    chosen = int(np.argmax(three.scores))
    assert three.best_index == order[chosen] and not three.failed.any()
    clip = jax.tree.map(lambda leaf: leaf[chosen], three.media)
    chex.assert_trees_all_equal(three.best, clip)
    assert three.best.video.shape == (2, 4, 4, 3)


def test_the_clip_has_the_rewards_of_its_row(toy_extra, three):
    for row in range(3):
        clip = jax.tree.map(lambda leaf, row=row: leaf[row][None], three.media)
        for column, verifier in enumerate(toy_extra.verifiers):
            weights = toy_extra.params.verifiers[column]
            reward = verifier.score(weights, clip, toy_extra.cond.verifiers[column])
            np.testing.assert_allclose(
                reward[0], three.rewards[row, column], rtol=1e-4, atol=1e-6
            )


def test_one_kept_is_the_head_of_more(toy_extra, found, three):
    run = jax.jit(_refine(toy_extra, keep_latents=True))
    one = run(toy_extra.params, KEY, toy_extra.cond, found)
    assert one.kept.tolist() == three.kept[:1].tolist() == [one.best_index]

    def head(tree):
        return jax.tree.map(lambda leaf: leaf[:1], tree)

    for name in ("rewards", "rewards_before", "scores", "latents", "failed"):
        chex.assert_trees_all_close(
            getattr(one, name), head(getattr(three, name)), rtol=1e-4, atol=1e-5
        )


def test_in_chunks_it_is_the_same(toy_extra, found, three, counter):
    counted = counter.toy(toy_extra)
    run = jax.jit(_refine(counted, num_kept=3, candidate_batch=2))
    chunked = run(toy_extra.params, KEY, toy_extra.cond, found)
    for name in ("best", "best_index", "kept", "rewards", "scores"):
        chex.assert_trees_all_close(
            getattr(chunked, name), getattr(three, name), rtol=1e-4, atol=1e-5
        )
    cost = refine_cost(enlarged(toy_extra), 2, 3, candidate_batch=2)
    assert counter.cost()[1:] == (chunked.decodes, chunked.verifier_calls)
    assert cost[:3] == (chunked.nfe, chunked.decodes, chunked.verifier_calls)
    assert cost[:3] == (3 * 2 * 2, 4, 6) and chunked.media is None


def test_prompts_are_vmapped(toy_extra):
    search = CASES["best_of_n"].but(num_candidates=3, keep_latents=True).bind(toy_extra)
    again = _refine(toy_extra, num_kept=2)
    keys = jax.random.split(KEY, 3)

    def both(key, cond):
        output = search(toy_extra.params, key, cond)
        return again(toy_extra.params, key, cond, output)

    mapped = jax.jit(jax.vmap(both))(keys, toy_extra.conds)
    one = jax.jit(both)
    for prompt in range(3):
        alone = one(
            keys[prompt], jax.tree.map(lambda x, p=prompt: x[p], toy_extra.conds)
        )
        mine = jax.tree.map(lambda x, p=prompt: x[p], mapped)
        chex.assert_trees_all_close(mine, alone, rtol=1e-4, atol=1e-5)


def test_failed_candidates_are_never_taken_on(toy_extra, found, refine_three):
    rewards = found.rewards.at[found.best_index, 1].set(jnp.nan)
    scores = found.scores.at[found.best_index].set(-jnp.inf)
    only = jnp.arange(6) == 2
    spoilt = found._replace(
        rewards=jnp.where(only[:, None], found.rewards, rewards),
        scores=jnp.where(only, found.scores, -jnp.inf),
    )
    few = refine_three(toy_extra.params, KEY, toy_extra.cond, spoilt)
    assert few.kept.tolist() == [2, -1, -1] and few.best_index == 2
    assert few.failed.tolist() == [False, True, True]
    assert np.isnan(few.rewards[1:]).all() and np.isneginf(few.scores[1:]).all()
    assert np.isnan(few.rewards_before[1:]).all()
    assert np.isneginf(few.scores_before[1:]).all()
    without = found._replace(rewards=rewards, scores=scores)
    others = refine_three(toy_extra.params, KEY, toy_extra.cond, without)
    assert found.best_index not in others.kept.tolist() and others.best_index >= 0


def test_of_equal_ones_the_better_one_before_is_chosen():
    known = _known()

    def unsure(params, media, cond):
        return jnp.asarray([jnp.nan, 1.0, 1.0])

    level = known.verifiers[1]
    search = {"generator": known.generator, "num_candidates": 5, "keep_latents": True}
    given = _formula(best_of_n, **search)
    verifiers = (known.verifiers[0], level._replace(score=unsure))
    run = _bound(refine, refiner=known.refiner, num_kept=3, verifiers=verifiers)
    tied = jax.jit(run)(*ARGUMENTS, given)
    assert tied.failed.tolist() == [True, False, False]
    assert tied.best_index == tied.kept[1]


def test_all_failed_is_said_so(toy_extra, found, refine_three):
    picture, sound = toy_extra.params.verifiers
    params = Params(
        toy_extra.params.generator, (picture, sound | {"limit": jnp.float32(-2)})
    )
    output = refine_three(params, KEY, toy_extra.cond, found)
    assert output.best_index == -1 and output.failed.all()
    assert not output.best.video.any() and (output.kept >= 0).all()
    assert output.best.video.shape == (2, 4, 4, 3)


class _Known(NamedTuple):
    """A search and a refiner of one number, whose results are known."""

    generator: Generator
    refiner: Refiner
    verifiers: tuple[Verifier, ...]


def _known() -> _Known:
    def init(params, keys, cond):
        return Candidates(noise_like(keys, jnp.zeros((len(keys), 1))))

    def same(params, keys, candidates, i, cond):
        return candidates

    def predict(params, candidates, i, cond):
        return candidates.latents

    def decode(side):
        def shown(params, candidates):
            z = candidates.latents[:, :1, None, None, None]
            video = jnp.broadcast_to(z, (len(z), 1, side, side, 3))
            return Media(video, candidates.latents[:, :1])

        return shown

    def start(params, keys, candidates, cond):
        noise = noise_like(keys, candidates.latents)
        return Candidates(params * candidates.latents + cond * noise)

    def step(params, keys, candidates, i, cond):
        noise = noise_like(keys, candidates.latents)
        return Candidates(candidates.latents + 0.01 * noise)

    small = Generator(init, same, decode(1), predict, (1.0, 0.0))
    large = small._replace(
        step=step, decode=decode(2), prepare=lambda params, cond: 2 * cond
    )
    level = Verifier("level", lambda p, media, c: media.video.mean((1, 2, 3, 4)))
    watcher = Verifier("size", lambda p, m, c: m.audio[:, 0] * m.video.shape[2])
    return _Known(small, Refiner(start, large), (watcher._replace(guides=False), level))


ARGUMENTS = Params(jnp.float32(0.5), ((), ())), KEY, (jnp.float32(0.25), ((), ()))


def _bound(function, **settings):
    shared = {"verifiers": _known().verifiers, "aggregator": running_mean()}
    return functools.partial(function, **shared | settings)


def _formula(function, *output, **settings):
    """Return what a function gives, compiled."""
    return jax.jit(_bound(function, **settings))(*ARGUMENTS, *output)


def test_results_are_those_of_the_formula():
    """Keys, order, the prepared prompt, the state and the columns, told again."""
    known = _known()
    search = {"generator": known.generator, "num_candidates": 5, "keep_latents": True}
    found = _formula(best_of_n, **search)
    settings = {"refiner": known.refiner, "num_kept": 3}
    output = _formula(refine, found, **settings)
    eager = _bound(refine, **settings)(*ARGUMENTS, found)
    chex.assert_trees_all_close(output, eager, rtol=1e-5, atol=1e-6)
    z = np.asarray(found.latents.latents)[:, 0]
    order = np.argsort(-z)[:3]
    own = stream_key(KEY, Stream.REFINEMENT)

    def draw(key, *numbers):
        key = functools.reduce(jax.random.fold_in, numbers, key)
        return float(noise_like(key[None], jnp.zeros((1, 1)))[0, 0])

    steps = stream_key(own, Stream.STEPS)
    wanted = np.asarray(
        [
            0.5 * z[n] + 2 * 0.25 * draw(own, n) + 0.01 * draw(steps, n, 0)
            for n in map(int, order)
        ]
    )
    np.testing.assert_allclose(output.rewards[:, 1], wanted, rtol=1e-5)
    np.testing.assert_allclose(output.rewards[:, 0], 2 * wanted, rtol=1e-5)
    assert output.kept.tolist() == order.tolist()
    assert output.best_index == order[np.argmax(wanted)]
    mean = float(found.aggregator_state["sum"][0]) / 5
    np.testing.assert_allclose(output.scores, wanted - mean, rtol=1e-4)
    assert (output.nfe, output.decodes, output.verifier_calls) == (3, 3, 3)


@pytest.mark.parametrize("search", ["evosearch", "adaptive_best_of_n"])
def test_every_search_can_be_refined(search, toy_extra):
    case = CASES[search].but(keep_latents=True)

    def both(params, key, cond):
        output = case.bind(toy_extra)(params, key, cond)
        return output, _refine(toy_extra, num_kept=2)(params, key, cond, output)

    output, refined = jax.jit(both)(toy_extra.params, KEY, toy_extra.cond)
    assert refined.kept[0] == output.best_index and not refined.failed.any()
    copies = len(output.rewards) - len(np.unique(output.rewards, axis=0))
    assert copies or search != "evosearch"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_kept": 0}, ValueError, "num_kept must be at least 1"),
        ({"num_kept": 7}, ValueError, "num_kept must be at most 6"),
        ({"candidate_batch": 0}, ValueError, "candidate_batch"),
        ({"refiner": None}, TypeError, "refiner must be a Refiner"),
        ({"verifiers": ()}, ValueError, "output has rewards of 2, got 0"),
        ({"aggregator": None}, TypeError, "aggregator must be an Aggregator"),
    ],
)
def test_what_does_not_fit_is_refused(
    change, error, message, toy_extra, found, unchecked
):
    run = _refine(toy_extra, **change)
    with pytest.raises(error, match=message):
        run(toy_extra.params, KEY, toy_extra.cond, found)


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        (lambda p, k, c, d: c.latents, TypeError, "start must return Candidates"),
        (
            lambda p, k, c, d: jax.tree.map(lambda x: x[:0], c),
            ValueError,
            "start must return arrays whose leading axis is that of the 1 keys",
        ),
    ],
)
def test_a_start_that_breaks_its_contract_is_named(
    start, error, message, toy_extra, found
):
    refiner = enlarged(toy_extra)._replace(start=start)
    with pytest.raises(error, match=message):
        _refine(toy_extra, refiner=refiner)(
            toy_extra.params, KEY, toy_extra.cond, found
        )


def test_latents_are_needed(toy_extra, found, unchecked):
    run = _refine(toy_extra)
    with pytest.raises(ValueError, match="keep_latents=True"):
        run(toy_extra.params, KEY, toy_extra.cond, found._replace(latents=None))
    with pytest.raises(TypeError, match="that of a search"):
        run(toy_extra.params, KEY, toy_extra.cond, None)


def test_nothing_is_promoted_by_accident(toy_extra, found, strict_core):
    run = _refine(toy_extra, num_kept=2, candidate_batch=1)
    output = jax.eval_shape(run, toy_extra.params, KEY, toy_extra.cond, found)
    assert output.rewards.dtype == jnp.float32 and output.kept.dtype == jnp.int32
