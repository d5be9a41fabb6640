"""Choosing among clips that exist: as the search that made them chose."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from search_cases import AGGREGATOR

import avits_jax as avits
from avits_jax.aggregation import weighted
from avits_jax.search import best_of_n, select
from avits_jax.types import Media, Verifier

KEY = jax.random.key(4)
NUM = 5


@pytest.fixture(scope="module")
def searched(toy):
    """Return a search's output, every clip kept."""
    parts = {"generator": toy.generator, "verifiers": toy.verifiers}
    search = partial(best_of_n, **parts, aggregator=AGGREGATOR, keep_media=True)
    return search(toy.params, KEY, toy.cond, num_candidates=NUM)


@pytest.fixture(scope="module")
def choose(toy):
    """Return ``(media, cond, state, **options) -> output``."""

    def chosen(media, cond=toy.cond, state=None, **options):
        parts = {"verifiers": toy.verifiers, "aggregator": AGGREGATOR} | options
        return select(toy.params, media, cond, state, **parts)

    return chosen


def test_it_chooses_what_the_search_chose(choose, searched):
    output = choose(searched.media)
    assert output.nfe == output.decodes == 0
    assert output.verifier_calls == searched.verifier_calls == 2 * NUM
    for name in ("best", "best_index", "scores", "rewards", "failed", "outliers"):
        chex.assert_trees_all_equal(getattr(output, name), getattr(searched, name))
    chex.assert_trees_all_equal(output.aggregator_state, searched.aggregator_state)


def test_the_highest_score_wins_wherever_it_stands(toy, searched):
    """Retold with plain weights, for every place of the best clip."""
    rewards = np.asarray(searched.rewards)
    wanted = int(np.nanargmax(rewards @ np.float32([0.7, 0.3])))
    for turn in range(NUM):
        media = jax.tree.map(lambda x, turn=turn: jnp.roll(x, turn, 0), searched.media)
        parts = {"verifiers": toy.verifiers, "aggregator": weighted([0.7, 0.3])}
        output = select(toy.params, media, toy.cond, **parts)
        assert output.best_index == (wanted + turn) % NUM
        np.testing.assert_array_equal(output.best.video, searched.media.video[wanted])


def test_alike_compiled_in_pieces_and_over_prompts(choose, searched, toy):
    media, whole = searched.media, choose(searched.media)
    close = partial(chex.assert_trees_all_close, rtol=1e-6, atol=1e-6)
    close(jax.jit(choose)(media), whole)
    close(choose(media, candidate_batch=2), whole)
    state = AGGREGATOR.init(2)
    for_all = jax.vmap(choose, in_axes=(None, 0, None))
    prompts = for_all(media, toy.conds, state)
    for i in range(3):
        cond = jax.tree.map(lambda leaf, i=i: leaf[i], toy.conds)
        close(jax.tree.map(lambda x, i=i: x[i], prompts), choose(media, cond, state))


def test_the_state_goes_from_prompt_to_prompt(choose, searched):
    first = choose(searched.media)
    second = choose(searched.media, state=first.aggregator_state)
    fresh = jax.tree.leaves(first.aggregator_state)
    carried = jax.tree.leaves(second.aggregator_state)
    assert any((a != b).any() for a, b in zip(fresh, carried, strict=True))


def test_broken_clips_are_never_chosen(choose, searched):
    best = int(searched.best_index)
    video = searched.media.video.at[best].set(jnp.nan)
    output = choose(searched.media._replace(video=video))
    assert output.failed[best] and output.failed.sum() == 1
    assert output.best_index != best and np.isneginf(output.scores[best])
    nothing = choose(searched.media._replace(video=jnp.nan * video))
    assert nothing.best_index == -1 and not nothing.best.video.any()


def test_ties_and_one_clip(choose, searched):
    same = jax.tree.map(lambda x: jnp.stack([x[1]] * 3), searched.media)
    assert choose(same).best_index == 0
    one = choose(jax.tree.map(lambda x: x[:1], searched.media))
    assert one.best_index == 0 and jnp.isfinite(one.scores).all()


def test_a_watcher_does_not_guide(choose, searched, toy):
    watcher = Verifier("watcher", lambda *_: jnp.arange(5.0)[::-1], guides=False)
    params, cond = (
        pair._replace(verifiers=(*pair.verifiers, ()))
        for pair in (toy.params, toy.cond)
    )
    verifiers = (*toy.verifiers, watcher)
    parts = {"verifiers": verifiers, "aggregator": AGGREGATOR}
    output = select(params, searched.media, cond, **parts)
    assert output.best_index == searched.best_index
    np.testing.assert_array_equal(output.rewards[:, 2], [4, 3, 2, 1, 0])
    assert output.verifier_calls == 2 * NUM


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: Media(m.video[0], m.audio[0]), r"video \[N, F, H, W, 3\]"),
        (lambda m: Media(m.video[:0], m.audio[:0]), "one clip at least"),
        (lambda m: Media(m.video, m.audio[:2]), "5 videos and 2 sounds"),
    ],
)
def test_other_than_clips_are_refused(choose, searched, change, message):
    with pytest.raises(ValueError, match=message):
        choose(change(searched.media))


def test_conditions_need_no_generator():
    verifiers, params = avits.verifiers.load(["mini_tv"])
    cond = avits.encode_prompt("a red circle bounces once with a bell", None, verifiers)
    assert cond.generator == () and len(cond.verifiers) == len(params) == 1
