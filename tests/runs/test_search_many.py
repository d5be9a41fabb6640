"""Many prompts in code: judges, resuming, and what counts as a broken candidate."""

import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_command

import avits_jax as avits
from avits_jax import runs
from avits_jax.report import write_run_report
from avits_jax.types import PER_CANDIDATE, Params, SharedPass, Verifier

GENERATOR = toy_command.toy_generator(2)
WEIGHTS = jnp.float32(2)
PROMPTS = toy_command.PROMPTS[:3]
SEARCHES = {
    "best_of_n": functools.partial(avits.best_of_n, num_candidates=5),
    "evosearch": functools.partial(
        avits.evosearch,
        schedule=(0,),
        population_sizes=(4, 4),
        options=avits.EvoOptions(num_elites=1),
    ),
    "pruned": functools.partial(
        avits.pruned_best_of_n, num_candidates=5, rungs=((1, 3),)
    ),
}


def colour(name, seen=None):
    """Return a verifier that reads one colour of a pass that tells all of them."""

    def rewards(params, media, cond):
        if seen is not None:
            seen.append(len(media.video))
        means = media.video.mean((1, 2, 3))
        return {"red": means[:, 0], "green": means[:, 1], "blue": means[:, 2]}

    shared = SharedPass("colours", rewards)

    def reader(output):
        def score(params, media, cond):
            return rewards(params, media, cond)[output]

        return Verifier(output, score, shared_pass=shared, output=output)

    return tuple(reader(output) for output in name.split())


def loud():
    return Verifier("loud", lambda p, media, c: jnp.abs(media.audio).mean(1))


def test_rows_that_were_never_drawn_are_left_out():
    search = functools.partial(
        avits.adaptive_best_of_n, num_candidates=12, chunk=2, tolerance=0.9
    )
    (red, green), guides = colour("red green"), (loud(), loud())
    work = work_of(search, (red, *guides), (green,), keep_media=True)
    found = work.search(3, work.encode("a prompt"), work.state)
    num_drawn = int(found.output.nfe) // GENERATOR.evaluations()
    assert 2 < num_drawn < 12
    for rows in jax.tree.leaves(
        (
            [getattr(found.output, name) for name in PER_CANDIDATE],
            found.judged,
            found.broken,
        )
    ):
        assert len(rows) == num_drawn
    assert np.isfinite(found.output.rewards).all() and not found.broken.any()


def work_of(
    search,
    guides,
    judges=(),
    generator=GENERATOR,
    weights=WEIGHTS,
    **settings,
):
    params = Params(weights, ((),) * (len(guides) + len(judges)))
    return runs.make_work(
        search,
        params,
        jax.random.key(0),
        generator=generator,
        verifiers=guides,
        judges=judges,
        aggregator=avits.arw([1.0] * len(guides)),
        **settings,
    )


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("candidate_batch", [None, 2])
def test_judges_see_the_final_population(name, candidate_batch):
    red, green = colour("red green")
    guides, judges = (red, loud()), (loud()._replace(name="again"), green)
    work = work_of(SEARCHES[name], guides, judges, candidate_batch=candidate_batch)
    alone = work_of(SEARCHES[name], guides, candidate_batch=candidate_batch)
    cond = work.encode("a prompt")
    found = work.search(3, cond, work.state)
    without = alone.search(3, alone.encode("a prompt"), alone.state)
    assert found.output.rewards.shape == without.output.rewards.shape
    np.testing.assert_allclose(found.output.rewards, without.output.rewards, 1e-5)
    np.testing.assert_allclose(found.judged[:, 0], found.output.rewards[:, 1], 1e-5)
    assert len(np.unique(found.judged[:, 1])) > 1
    for field in ("best_index", "nfe", "decodes", "verifier_calls"):
        assert getattr(found.output, field) == getattr(without.output, field)
    assert not found.broken.any()


def test_a_judge_of_a_guides_pass_does_not_run_it_again():
    seen = []
    red, green, blue = colour("red green blue", seen)
    counted = []
    for judges in ((), (green, blue)):
        seen.clear()
        work = work_of(SEARCHES["best_of_n"], (red,), judges)
        found = work.search(0, work.encode("a prompt"), work.state)
        counted.append(list(seen))
        assert found.judged.shape == (5, len(judges))
    assert counted[0] == counted[1] == [5]


def test_judges_see_finished_candidates_alone():
    def counting(verifier):
        seen = []

        def score(params, media, cond):
            seen.append(len(media.video))
            return verifier.score(params, media, cond)

        return verifier._replace(score=score, shared_pass=None), seen

    (guide, guided), (judge, judged) = map(counting, (colour("red")[0], loud()))
    search = functools.partial(avits.smc, num_candidates=4, resample_steps=(1,))
    work = work_of(search, (guide,), (judge,))
    found = work.search(0, work.encode("a prompt"), work.state)
    assert (guided, judged) == ([4, 4], [4])
    assert found.judged.shape == (4, 1)


@pytest.mark.parametrize("candidate_batch", [None, 2])
def test_a_broken_candidate_is_one_whose_clip_is_not_finite(candidate_batch):
    def decode(params, candidates):
        media = GENERATOR.decode(params, candidates)
        # Latents stay finite; one sound in some, no picture, holds infinity.
        bad = candidates.latents[:, :1] > 0
        return media._replace(audio=jnp.where(bad, jnp.inf, media.audio))

    generator = GENERATOR._replace(decode=decode)
    guides = colour("red")  # which does not hear
    work = work_of(
        SEARCHES["best_of_n"],
        guides,
        generator=generator,
        candidate_batch=candidate_batch,
        keep_media=True,
    )
    found = work.search(0, work.encode("a prompt"), work.state)
    heard = np.isfinite(found.output.media.audio).all(axis=1)
    np.testing.assert_array_equal(found.broken, ~heard)
    assert 0 < found.broken.sum() < 5
    assert np.isfinite(found.output.rewards).all()


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path):
    work = work_of(SEARCHES["best_of_n"], colour("red green"), (loud(),))
    whole = list(runs.search_many(work, PROMPTS, tmp_path / "whole"))
    first = runs.search_many(work, iter(PROMPTS), tmp_path / "run")
    assert [r.row for r in itertools.islice(first, 1)] == [0]
    first.close()
    assert [r.row for r in runs.search_many(work, PROMPTS, tmp_path / "run")] == [1, 2]
    for one, other in zip(runs.read_records(tmp_path / "run"), whole, strict=True):
        np.testing.assert_array_equal(one.rewards, other.rewards)
        np.testing.assert_array_equal(one.judged, other.judged)
        assert (one.best, one.state) == (other.best, other.state)
    assert len({record.state for record in whole}) == 3
    clips = sorted(path.name for path in (tmp_path / "run" / "clips").iterdir())
    assert clips == [runs.clip_name(row) for row in range(3)]
    page = write_run_report(tmp_path / "run").read_text()
    assert "loud (did not guide)" in page


def test_other_settings_and_prompts_are_refused(tmp_path):
    work = work_of(SEARCHES["best_of_n"], colour("red"))
    list(runs.search_many(work, PROMPTS[:1], tmp_path, settings={"seed": 0}))
    with pytest.raises(ValueError, match="seed: 0 there, 1 now"):
        list(runs.search_many(work, PROMPTS, tmp_path, settings={"seed": 1}))
    with pytest.raises(ValueError, match="row 0 is 'another' there"):
        list(runs.search_many(work, ["another"], tmp_path, settings={"seed": 0}))
    other = work_of(SEARCHES["best_of_n"], colour("green"))
    with pytest.raises(ValueError, match='verifiers: \\["red"\\] there'):
        list(runs.search_many(other, PROMPTS, tmp_path, settings={"seed": 0}))


def test_a_prompt_that_is_not_understood_is_recorded(tmp_path):
    work = work_of(SEARCHES["best_of_n"], colour("red"))
    found = list(runs.search_many(work, ["one", "unheard", ""], tmp_path))
    assert [record.status for record in found] == ["done", "refused", "refused"]
    assert [path.name for path in Path(tmp_path, "clips").iterdir()] == [
        runs.clip_name(0)
    ]


def with_tower(text, **changes):
    """Return a generator with a text tower, and weights of both."""
    inner = GENERATOR._replace(prepare=None)

    def over(function):
        return lambda params, *rest: function(params["net"], *rest)

    names = ("init", "step", "predict", "decode")
    within = {name: over(getattr(inner, name)) for name in names}
    generator = inner._replace(**within, text=text, text_part="text", **changes)
    return generator, {"net": jnp.float32(2), "text": jnp.float32(0.5)}


def test_a_text_tower_runs_once_per_prompt_outside_the_search():
    traced = []

    def text(params_text, cond):
        traced.append(1)
        return cond * params_text

    def prepare(params, cond):
        apart = isinstance(params["text"], tuple)
        return cond if apart else text(params["text"], cond)

    tower, weights = with_tower(text, prepare=prepare)
    within = tower._replace(text=None, text_part="")
    found = []
    for each in (within, tower):
        traced.clear()
        work = work_of(
            SEARCHES["best_of_n"], colour("red"), generator=each, weights=weights
        )
        conds = [work.encode(text) for text in ("one prompt", "another")]
        in_encode = len(traced)
        rewards = [work.search(i, c, work.state) for i, c in enumerate(conds)]
        found.append([each.output.rewards for each in rewards])
        # The search is not traced with the tower: its program has no such weights.
        assert (in_encode, len(traced)) == ((0, 1) if each is within else (1, 1))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_weights_of_a_text_tower_go_to_the_device_once_for_prompts_ahead(
    tmp_path, ahead
):
    shared, told = [], []
    tower, weights = with_tower(lambda params, cond: cond * params)
    devices = runs.ONE_DEVICE._replace(
        share=lambda tree: shared.append(isinstance(tree, np.ndarray)) or tree
    )
    work = work_of(
        SEARCHES["best_of_n"],
        colour("red"),
        generator=tower,
        weights=weights,
        devices=devices,
    )
    work = work._replace(encode=lambda t, f=work.encode: told.append(t) or f(t))
    prompts = ["one", "unheard", "two"]
    records = runs.search_many(work, prompts, tmp_path, text_ahead=ahead)
    first = next(records)
    assert told == prompts[:ahead]
    found = [first, *records]
    assert told == prompts and sum(shared) == -(-len(prompts) // ahead)
    assert [record.status for record in found] == ["done", "refused", "done"]
    alone = work.search(2, work.encode("two"), work.state)
    np.testing.assert_array_equal(found[2].rewards, alone.output.rewards)
