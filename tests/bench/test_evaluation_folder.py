"""The folder between evaluation and tables: resumable, nothing scored 0."""

import json

import bench_cases
import numpy as np
import pytest

from avits_jax.bench import (
    EvaluatedClip,
    EvaluationFolder,
    Method,
    ProtocolError,
    read_evaluated,
)
from avits_jax.bench.evaluated import NOT_EVALUATED
from avits_jax.bench.evaluation import CLIPS, EVALUATION, FEATURES


@pytest.fixture
def made():
    return bench_cases.protocol()


def _clips(made, rows=range(6)):
    return bench_cases.clips(made, bench_cases.JAVIS_FEATURES, rows=rows)


def test_what_is_written_is_read_again(made, tmp_path):
    written = _clips(made)
    bench_cases.write(tmp_path / "e", made, written, guides=("javis_score:bench",))
    found = read_evaluated([tmp_path / "e"])
    assert found.protocol == made
    assert found.method == Method("ours", guides=("javis_score:bench",))
    assert not found.faults and not found.failed and found.num_judged == 6
    for clip in written:
        for name, score in clip.scores.items():
            assert found.scores[name][clip.row] == score
        for name, array in clip.features.items():
            np.testing.assert_array_equal(found.features[name][clip.row], array)


def test_missing_and_broken_clips_are_listed_and_have_no_number(made, tmp_path):
    clips = _clips(made, (0, 1))
    clips[1] = EvaluatedClip(
        1, {"desync": 0.5}, failed={"ib_tv": "too short", "i3d": "one frame"}
    )
    broken = EvaluatedClip(2, fault="sample_0002.mp4 is damaged")
    bench_cases.write(tmp_path / "e", made, [*clips, broken])
    found = read_evaluated([tmp_path / "e"])
    lost = dict.fromkeys((3, 4, 5), NOT_EVALUATED)
    assert found.faults == lost | {2: broken.fault}
    assert found.failed == {"ib_tv": {1: "too short"}, "i3d": {1: "one frame"}}
    assert np.isnan(found.scores["ib_tv"][1:]).all()
    assert list(found.features["i3d"]) == [0]
    assert found.num_judged == 2


def test_an_evaluation_goes_on_where_it_was_killed(made, tmp_path):
    path, clips = tmp_path / "e", _clips(made)
    bench_cases.write(path, made, clips[:3])
    log = (path / CLIPS).read_bytes()
    (path / CLIPS).write_bytes(log[:-20])  # the last line is torn
    with EvaluationFolder(path, made, Method("ours")) as folder:
        known = [row for row in range(6) if "i3d" in folder.known(row)]
        assert known == [0, 1]
        folder.add(clips[2:])
    found = read_evaluated([path])
    assert not found.faults
    np.testing.assert_array_equal(found.features["i3d"][2], clips[2].features["i3d"])


def test_a_clip_that_was_made_since_is_judged_then(made, tmp_path):
    path = tmp_path / "e"
    lost = EvaluatedClip(0, fault="sample_0000.mp4 is missing")
    bench_cases.write(path, made, [lost])
    size = (path / CLIPS).stat().st_size
    with EvaluationFolder(path, made, Method("ours")) as folder:
        folder.add([lost])
        assert (path / CLIPS).stat().st_size == size
        assert not folder.known(0)
        folder.add(_clips(made, [0]))
    assert 0 not in read_evaluated([path]).faults
    with EvaluationFolder(path, made, Method("ours")) as folder:
        assert "desync" in folder.known(0)
        folder.add([lost])
        assert not folder.known(0)
    found = read_evaluated([path])
    assert found.faults[0] == lost.fault
    assert np.isnan(found.scores["desync"][0]) and not found.features


def test_what_a_later_line_says_of_a_clip_counts(made, tmp_path):
    path = bench_cases.write(tmp_path / "e", made, _clips(made, (0, 1)))
    failed = {"i3d": "one frame", "desync": "too short"}
    again = EvaluatedClip(1, {"ib_tv": 0.25}, features={"audioclip": np.ones(3)})
    bench_cases.write(path, made, [EvaluatedClip(0, failed=failed), again])
    found = read_evaluated([path])
    assert found.failed == {name: {0: reason} for name, reason in failed.items()}
    assert np.isnan(found.scores["desync"][0]) and list(found.features["i3d"]) == [1]
    assert found.scores["ib_tv"][1] == 0.25
    np.testing.assert_array_equal(found.features["audioclip"][1], np.ones(3))
    bench_cases.write(path, made, _clips(made, [0]))
    found = read_evaluated([path])
    assert not any(found.failed.values()) and 0 in found.features["i3d"]


def test_columns_can_be_added_and_other_settings_cannot(made, tmp_path):
    path = tmp_path / "e"
    first = bench_cases.protocol(
        variants={"desync": made.variants["desync"]}, checkpoints={"imagebind": "a"}
    )
    with EvaluationFolder(
        path, first, Method("ours"), {"fvd": "no weights", "kvd": "no weights"}
    ) as folder:
        folder.add([EvaluatedClip(0, {"desync": 0.2})])
        with pytest.raises(ValueError, match="scores must be among desync, got 'ib_tv"):
            folder.add([EvaluatedClip(1, {"ib_tv": 0.2})])
    more = bench_cases.protocol(variants={"fvd": made.variants["fvd"]})
    bench_cases.write(path, more, [EvaluatedClip(0, features={"i3d": np.ones(4)})])
    found = read_evaluated([path])
    assert set(found.protocol.variants) == {"desync", "fvd"}
    assert found.protocol.checkpoints == made.checkpoints
    assert found.left_out == {"kvd": "no weights"}
    assert found.scores["desync"][0] == 0.2 and 0 in found.features["i3d"]
    other = bench_cases.protocol(checkpoints={"imagebind": "other"})
    with pytest.raises(ProtocolError, match="checkpoints of imagebind: a and other"):
        EvaluationFolder(path, other, Method("ours"))
    with pytest.raises(ValueError, match="is an evaluation of .*ours"):
        EvaluationFolder(path, first, Method("theirs"))


def test_parts_made_apart_are_one_evaluation(made, tmp_path):
    clips = _clips(made)
    parts = [
        bench_cases.write(tmp_path / name, made, half)
        for name, half in (("a", clips[:3]), ("b", clips[3:]))
    ]
    assert not read_evaluated(parts).faults
    again = bench_cases.write(tmp_path / "c", made, clips[2:4])
    with pytest.raises(ValueError, match="both hold .* of row 2"):
        read_evaluated([parts[0], again])
    other = bench_cases.protocol(mode="default")
    elsewhere = bench_cases.write(tmp_path / "d", other, [])
    with pytest.raises(ProtocolError, match="differ in mode: bench and default"):
        read_evaluated([parts[0], elsewhere])
    stranger = bench_cases.write(tmp_path / "f", made, [], name="theirs")
    with pytest.raises(ValueError, match="is an evaluation of .*theirs"):
        read_evaluated([parts[0], stranger])


@pytest.mark.parametrize(
    "clip, message",
    [
        (EvaluatedClip(6), "row must be from 0 to 5, got 6"),
        (
            EvaluatedClip(0, features={"panns": np.ones(2)}),
            "features must be among audioclip, i3d, got 'panns'",
        ),
        (EvaluatedClip(0, {"fvd_": 1.0}), "scores must be among .* got 'fvd_'"),
        (
            EvaluatedClip(0, {"desync": np.nan}),
            "desync of row 0 is nan: say in `failed",
        ),
    ],
)
def test_what_is_no_result_is_refused(made, tmp_path, clip, message):
    with EvaluationFolder(tmp_path / "e", made, Method("ours")) as folder:
        with pytest.raises(ValueError, match=message):
            folder.add([clip])


def test_two_processes_do_not_write_at_once(made, tmp_path):
    with EvaluationFolder(tmp_path / "e", made, Method("ours")):
        with pytest.raises(ValueError, match="is being written by another process"):
            EvaluationFolder(tmp_path / "e", made, Method("ours"))


def test_damage_is_named(made, tmp_path):
    path = bench_cases.write(tmp_path / "e", made, _clips(made))
    (file,) = (path / FEATURES).iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="features of clips, is damaged"):
        read_evaluated([path])
    file.unlink()
    with pytest.raises(ValueError, match="features of clips that were .* is missing"):
        read_evaluated([path])
    facts = json.loads((path / EVALUATION).read_text())
    facts["protocol"]["mode"] = "other"
    (path / EVALUATION).write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="mode' is of type str, must be one of bench"):
        read_evaluated([path])
    with pytest.raises(ValueError, match="is no folder of an evaluation"):
        read_evaluated([tmp_path])
    with pytest.raises(ValueError, match="folders must name at least one"):
        read_evaluated([])
