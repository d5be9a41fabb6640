"""Runs of two stages: records, resuming, searches that stop early, failures."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avits_jax as avits
from avits_jax import generators, runs
from avits_jax.media import read_clip
from avits_jax.report import write_run_report
from avits_jax.types import Params, Verifier

sys.path.append(str(Path(__file__).parents[1] / "generators"))
from staged_family import MODEL, TABLE, Options, make, make_refiner  # noqa: E402

KEY = jax.random.key(1)
PROMPTS = ["a prompt", "another one"]
CONFIGS = {part.name: part.config for part in MODEL.parts}
WEIGHTS = {"painter": {"kernel": jnp.zeros((3, 3))}}
SMALL = make(CONFIGS, None, Options(half_size=True, duration=4))
LARGE = make_refiner(CONFIGS, None, Options(duration=4))


def _level(channel, limit=9.0):
    def score(params, media, cond):
        level = media.video[..., channel].mean((1, 2, 3))
        return jnp.where(media.video.shape[2] > limit, jnp.nan, level)

    return Verifier(f"level{channel}", score)


def _side():
    def score(params, media, cond):
        return jnp.full(len(media.video), float(media.video.shape[2]))

    return Verifier("side", score)


GUIDE = _level(0, 99.0)


def _work(search, guides=(GUIDE,), num_kept=2, generator=SMALL, **settings):
    shared = {"verifiers": guides, "judges": [_side()]}
    shared |= {"aggregator": avits.arw([1.0] * len(guides), "closed_form")}
    weights = ((),) * (len(guides) + 1)
    work = runs.make_work(
        functools.partial(search, keep_latents=True),
        Params(WEIGHTS, weights),
        KEY,
        generator=generator,
        **shared,
    )
    second = runs.Refinement(LARGE, WEIGHTS, num_kept)
    return runs.refined_work(work, second, weights, KEY, **shared | settings)


BEST_OF = functools.partial(avits.best_of_n, num_candidates=4)


@pytest.fixture(scope="module")
def work():
    """Work of both stages, compiled once."""
    return _work(BEST_OF)


def test_a_run_keeps_large_clips_and_both_rewards(work, tmp_path):
    records = list(runs.search_many(work, PROMPTS, tmp_path / "run"))
    assert [record.refined.kept for record in records] == [
        record.refined.kept for record in runs.read_records(tmp_path / "run")
    ]
    for record in runs.read_records(tmp_path / "run"):
        large = record.refined
        order = np.argsort(-record.rewards[:, 0])[:2]
        assert list(large.kept) == order.tolist()
        assert (record.judged == 16).all() and (large.judged == 32).all()
        assert record.best == large.kept[int(np.argmax(large.rewards[:, 0]))]
        assert (record.nfe, record.decodes) == (4 * 2 + 2, 4 + 2 + 1)
        clip = read_clip(tmp_path / "run" / "clips" / runs.clip_name(record.row))
        assert clip.sample_rate == 48_000 and len(clip.audio) == 2
    page = write_run_report(tmp_path / "run").read_text()
    assert "Made large" in page and "Verifiers saw all candidates at the size" in page
    assert "→" in page


def test_a_killed_run_goes_on_with_the_same_results(work, tmp_path):
    whole = list(runs.search_many(work, PROMPTS, tmp_path / "whole"))
    part = runs.search_many(work, PROMPTS, tmp_path / "part")
    next(part)
    part.close()
    list(runs.search_many(work, PROMPTS, tmp_path / "part"))
    records = "records.jsonl"
    there = (tmp_path / "whole" / records).read_bytes()
    assert (tmp_path / "part" / records).read_bytes() == there
    # A clip that is lost is the refined one again.
    lost = tmp_path / "part" / "clips" / runs.clip_name(1)
    before = lost.read_bytes()
    lost.unlink()
    list(runs.search_many(work, PROMPTS, tmp_path / "part"))
    assert lost.read_bytes() == before and len(whole) == 2


def test_it_is_refine_of_the_search(work):
    found = work.search(3, work.encode("a prompt"), work.state)
    key = jax.random.fold_in(KEY, 3)
    aggregator = avits.arw([1.0], "closed_form")
    shared = {"verifiers": [_level(0, 99.0)], "aggregator": aggregator}
    cond = avits.encode_prompt("a prompt", SMALL, shared["verifiers"])
    given = Params(WEIGHTS, ((),)), key, cond
    search = functools.partial(BEST_OF, generator=SMALL, keep_latents=True, **shared)
    output = jax.jit(search)(*given)
    refined = jax.jit(
        functools.partial(avits.refine, refiner=LARGE, num_kept=2, **shared)
    )
    wanted = refined(*given, output)
    mine = found.refined.output
    np.testing.assert_array_equal(mine.kept, wanted.kept)
    np.testing.assert_allclose(mine.rewards, wanted.rewards, rtol=1e-5)
    np.testing.assert_allclose(mine.rewards_before, wanted.rewards_before, rtol=1e-5)
    np.testing.assert_allclose(found.output.best.video, wanted.best.video, atol=1e-5)
    assert found.output.best_index == wanted.best_index


def test_a_search_that_stops_early_is_one_program():
    search = functools.partial(
        avits.adaptive_best_of_n, num_candidates=8, chunk=2, tolerance=0.9
    )
    traced = []

    class Traced(runs.Compiled):
        def compile(self, *arguments):
            traced.append(arguments)
            return super().compile(*arguments)

    devices = runs.ONE_DEVICE._replace(compiled=Traced)
    work = _work(search, num_kept=5, devices=devices)
    drawn = set()
    for row in range(4):
        found = work.search(row, work.encode("a prompt"), work.state)
        drawn.add(len(found.output.scores))
        kept = found.refined.output.kept
        assert (kept >= 0).sum() == min(5, len(found.output.scores))
    assert len(traced) == 1 and min(drawn) < 8


def test_failures_of_the_second_stage_are_told(tmp_path):
    work = _work(BEST_OF, guides=(_level(0, 20.0),))
    (record,) = runs.search_many(work, PROMPTS[:1], tmp_path / "run")
    assert record.status == "failed" and record.best == -1
    assert record.reason == (
        "all 2 refined clips failed: level0 gave NaN or infinity for 2"
    )
    assert "refined clips failed" in write_run_report(tmp_path / "run").read_text()


def test_rates_and_latents_are_checked():
    slow = SMALL._replace(sample_rate=16_000)
    with pytest.raises(ValueError, match="second stage makes clips of 8 fps and 48000"):
        _work(BEST_OF, generator=slow)
    search = functools.partial(BEST_OF, keep_latents=False)

    def forgetful(*arguments, keep_latents, **settings):
        return search(*arguments, **settings)

    work = _work(forgetful)
    with pytest.raises(ValueError, match="keep_latents=True"):
        work.prepare(work.encode("a prompt"))


def test_a_record_whose_parts_disagree_is_refused(work, tmp_path):
    from avits_jax.runs.records import _from_entry, to_entry

    (record,) = runs.search_many(work, PROMPTS[:1], tmp_path / "run")
    entry = to_entry(record)
    assert _from_entry(entry).refined.kept == record.refined.kept
    wrong = [
        {"kept": [9, 0]},
        {"kept": [record.best]},
        {"kept": [x for x in range(4) if x != record.best][:2]},
        {"rewards": [[1.0], [1.0, 2.0]]},
        {"judged": "x"},
    ]
    for change in wrong:
        with pytest.raises(ValueError, match="wrong value"):
            _from_entry(entry | {"refined": entry["refined"] | change})


def test_refiners_are_loaded_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path))
    # Those that take long to import are left out.
    few = [each for each in TABLE if each.name in ("mini", "staged", "staged-fast")]
    given = {"families": few, "random_weights": True}
    for name in ("staged", "staged-fast"):
        refiner, params = generators.load_refiner(name, duration=3, **given)
        assert refiner.generator.sigmas == (0.5, 0.0)
        assert params["painter"]["kernel"].shape == (3, 3)
    _, same = generators.load_refiner("staged", params="mine", **given)
    assert same == "mine"
    with pytest.raises(
        ValueError,
        match=r"mini has no second stage \(models that do: staged, staged-fast\)",
    ):
        generators.load_refiner("mini", **given)
    everything = {"image", "refine", "preview_decoder"}
    assert generators.abilities("staged-fast", few) == everything
    assert generators.abilities("mini", few) == {"share_guidance"}
