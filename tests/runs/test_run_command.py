"""avits run over the toy: chained states, failures, resuming, limits, full disks."""

import errno
import json
import os
from pathlib import Path

import av
import jax
import numpy as np
import pytest
import toy_command

import avits_jax
from avits_jax.catalogue import generators, verifiers
from avits_jax.catalogue.resolve import resolve
from avits_jax.cli import compiled, main, memory
from avits_jax.cli.commands.run import Options
from avits_jax.media import read_clip
from avits_jax.runs import folder as run_folder
from avits_jax.runs import log, read_records, read_run, states
from avits_jax.weights.model import Model

MODEL = Model("red", (), notice="red is for play only")


def records(out="run"):
    return list(read_records(out))


def kept(out):
    names = ("records.jsonl", "clips/sample_0000.mp4", "clips/sample_0005.mp4")
    return [(Path(out) / name).read_bytes() for name in names]


def test_states_go_from_prompt_to_prompt_exactly(toy):
    assert toy("run", "--optimizer", "adam", "--seed", "7") == 0
    names = resolve("toy", ("red", "loud"))
    loaded = toy_command.load(Options(prompts="p", out="o"), names)
    aggregator = avits_jax.arw([0.5, 0.5], "adam")
    state = states.on_host(aggregator.init(2))

    def search(params, key, cond, state):
        return avits_jax.best_of_n(
            params,
            key,
            cond,
            state,
            generator=loaded.generator,
            verifiers=loaded.verifiers,
            aggregator=aggregator,
            num_candidates=4,
            keep_latents=True,
        )

    search = jax.jit(search)
    for row, record in enumerate(records()):
        cond = toy_command._encode_for_all(loaded, record.prompt)
        key = jax.random.fold_in(jax.random.key(7), row)
        output = search(loaded.params, key, cond, state)
        # Which rewards the program also computes may move the last bit of any.
        np.testing.assert_allclose(record.rewards, output.rewards, rtol=1e-5)
        assert record.best == output.best_index
        state = output.aggregator_state
        mine = states.unpack(record.state, state)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4), mine, state)
    assert [r.row for r in records()] == list(range(6))


def test_one_program_serves_all_prompts(toy, monkeypatch):
    made, compile_it = [], compiled.Checked.compile

    def counting(self, *arguments):
        made.append(1)
        return compile_it(self, *arguments)

    monkeypatch.setattr(compiled.Checked, "compile", counting)
    assert toy("run") == 0
    assert len(made) == 1


def test_judges_watch_but_do_not_guide(toy, capsys):
    assert toy("with") == 0
    flags = [f for f in toy_command.FLAGS if f not in ("--judge", "green")]
    assert main(["run", "prompts.txt", "--out", "without", *flags]) == 0
    for one, other in zip(records("with"), records("without"), strict=True):
        assert one.best == other.best and one.nfe == other.nfe == 4 * 4 * 2
        assert one.verifier_calls == other.verifier_calls == 4 * 2
        np.testing.assert_allclose(one.rewards, other.rewards, rtol=1e-5)
        assert one.judged.shape == (4, 1) and other.judged.size == 0
        assert np.unique(one.judged).size == 4
    page = (Path("with") / "report.html").read_text()
    assert "green (did not guide)" in page
    assert "6 prompts: 6 done" in capsys.readouterr().out


def test_failing_prompts_are_recorded_and_the_run_goes_on(toy, tmp_path, capsys):
    texts = ["one", "an unheard one", "a broken one", "", "last", "unjudged"]
    rows = [json.dumps({"caption": text}) for text in texts]
    (tmp_path / "p.jsonl").write_text("\n".join(rows))
    assert toy("run", "--column", "caption", prompts="p.jsonl") == 3
    found = {record.row: record for record in records()}
    assert [r.status for r in found.values()] == [
        *("done", "refused", "failed", "refused", "done", "failed")
    ]
    assert found[1].reason == "toy does not understand 'an unheard one'"
    why = "all 4 candidates failed: "
    assert found[2].reason == f"{why}the generator gave NaN or infinity for 4"
    assert found[5].reason.startswith(f"{why}red gave NaN or infinity for 4; loud")
    assert "the prompt is empty" in found[3].reason
    assert found[1].state == found[0].state == found[2].state != found[4].state
    clips = {path.name for path in (tmp_path / "run" / "clips").iterdir()}
    assert clips == {"sample_0000.mp4", "sample_0004.mp4"}
    printed = capsys.readouterr()
    counts = "6 prompts: 2 done, 2 refused by a model, 2 with no usable candidate"
    assert counts in printed.out
    assert "row 1 refused: toy does not understand" in printed.err


def test_all_prompts_failing_is_failure(toy, tmp_path):
    (tmp_path / "p.txt").write_text("unheard 1\nunheard 2\n")
    assert toy("run", prompts="p.txt") == 1
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_larger_limit_goes_on_with_the_same_run(toy, capsys):
    assert toy("whole") == 0
    assert toy("run", "--limit", "2") == 0
    assert len(records()) == 2
    assert toy("run", "--limit", "4") == 0 and toy("run") == 0
    assert kept("run") == kept("whole")
    before = os.stat("run/records.jsonl").st_mtime_ns
    assert toy("run") == 0
    assert os.stat("run/records.jsonl").st_mtime_ns == before
    capsys.readouterr()
    assert toy("run", "--limit", "3") == 2
    assert "smaller --limit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (["--seed", "1"], "seed: 0 there, 1 now"),
        (["--num-candidates", "5"], "num_candidates: 4 there, 5 now"),
        (["--verifiers", "red"], 'verifiers: ["red", "loud"] there, ["red"] now'),
        (["--search", "smc"], 'search: "best_of_n" there, "smc" now'),
        (["--weights", "1,2"], "weights: [0.5, 0.5] there, [1.0, 2.0] now"),
        (["--shard", "1/2"], 'shard: default there, "1/2" now'),
    ],
)
def test_other_settings_are_refused(toy, flags, difference, capsys):
    if not os.path.exists("run"):
        assert toy("run", "--limit", "1") == 0
    before = kept_bytes("run")
    assert toy("run", *flags) == 2
    assert difference in capsys.readouterr().err
    assert kept_bytes("run") == before


def kept_bytes(out):
    paths = [p for p in Path(out).rglob("*") if p.is_file()]
    return {path: path.read_bytes() for path in paths}


def test_other_prompts_are_refused(toy, tmp_path, capsys):
    assert toy("run", "--limit", "2") == 0
    (tmp_path / "prompts.txt").write_text("prompt number 0\nanother\nthird\n")
    assert toy("run") == 2
    assert "row 1 is 'another' there" in capsys.readouterr().err
    assert len(records()) == 2


def test_a_damaged_record_is_said(toy, tmp_path, capsys):
    assert toy("run", "--limit", "2") == 0
    path = tmp_path / "run" / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"row":0', b'"row":5'))
    assert toy("run") == 2
    assert "records.jsonl, line 1 is damaged" in capsys.readouterr().err
    assert main(["report", "run"]) == 2


@pytest.mark.parametrize("what", ["clip", "record"])
def test_full_disk_is_said_and_the_run_goes_on_later(toy, what, monkeypatch, capsys):
    assert toy("whole") == 0
    module, name = (run_folder, "write_clip") if what == "clip" else (log, "_write_all")
    real, calls = getattr(module, name), []

    def full(*arguments, **rates):
        calls.append(1)
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "where")
        return real(*arguments, **rates)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, full)
        assert toy("run") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("avits: error: No space left on device: ")
    assert error.endswith("prompts are safe, the same command goes on from there")
    assert 0 < len(records()) < 6
    assert toy("run") == 0
    assert kept("run") == kept("whole")


def test_interruption_says_how_far_it_got(toy, monkeypatch, capsys):
    real = run_folder.RunFolder.append

    def stopping(self, record, seconds):
        if record.row == 3:
            raise KeyboardInterrupt
        real(self, record, seconds)

    monkeypatch.setattr(run_folder.RunFolder, "append", stopping)
    assert toy("run") == 130
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("avits: error: interrupted; 3 prompts are safe")
    assert main(["report", "run"]) == 0
    assert "3 of 3 prompts have a clip" in Path("run/report.html").read_text()


def test_clips_are_the_chosen_ones(toy):
    assert toy("run") == 0
    for record in records():
        clip = read_clip(f"run/clips/sample_{record.row:04d}.mp4")
        red = clip.video[..., 0].mean() / 255
        # Other candidates are further off than H.264's loss of colour.
        assert abs(red - record.rewards[record.best, 0]) < 0.03


def test_benchmark_files_work_as_they_are(toy, tmp_path):
    rows = [
        "path,id,video_text,audio_text,text,cat0_title",
        'a.mp4,a,"pictures, only",sound,"both, with a comma\nand a line",x',
        "b.mp4,b,v,a,second,y",
    ]
    (tmp_path / "bench.csv").write_text("\n".join(rows))
    assert toy("run", prompts="bench.csv") == 3
    first, second = records()
    assert "line breaks" in first.reason and second.prompt == "second"
    assert os.listdir("run/clips") == ["sample_0001.mp4"]


def test_config_of_a_run_gives_the_same_run(toy):
    assert toy("run", "--search", "zero_order", "--num-iterations", "2") == 0
    config = ["--config", "run/config.toml", "--out", "again"]
    assert main(["run", *config]) == 0
    assert kept("again") == kept("run")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--search", "evo"],
            "unknown search 'evo' (there are: adaptive_best_of_n, beam_search, "
            "best_of_n, draft_best_of_n, evosearch, pruned_best_of_n, smc, "
            "zero_order); did you mean 'evosearch'?",
        ),
        (["--schedule", "1"], "--schedule is for --search evosearch, got"),
        (["--search", "smc", "--potential", "mx"], "unknown potential 'mx'"),
        (
            ["--search", "evosearch", "--schedule", "0,9"],
            "--search evosearch: schedule must not go beyond step 3, got (0, 9)",
        ),
        (
            ["--search", "evosearch", "--populations", "4"],
            "--search evosearch: population_sizes must have one entry more",
        ),
        (
            ["--search", "evosearch", "--tournament-ratio", "0"],
            "--search evosearch: tournament_ratio must lie in (0, 1]",
        ),
        (
            ["--search", "pruned_best_of_n", "--rungs", "1-2"],
            "--search pruned_best_of_n: rungs must be STEP:KEPT, got '1-2'",
        ),
        (
            ["--search", "draft_best_of_n", "--draft", "1"],
            "--search draft_best_of_n: draft must be one of the model's 1 drafts",
        ),
        (
            ["--search", "adaptive_best_of_n", "--tolerance", "-1"],
            "--search adaptive_best_of_n: tolerance must be at least 0",
        ),
        (["--max-nfe", "3"], "--search best_of_n: max_nfe must be at least 8"),
        (["--shard", "3/2"], "--shard: shard must be I/N"),
        (["--shard", "9/9"], "--shard 9/9 of prompts.txt holds no prompt"),
        (["--limit", "0"], "limit must be at least 1, got 0"),
        (["--judge", "red"], "--verifiers and --judge name 'red' twice"),
        (
            ["--judge", "gren"],
            "unknown verifier 'gren' (there are: red, green, loud); "
            "did you mean 'green'?",
        ),
        (["--column", "x", "--seed", "-1"], "--seed must be 0 to"),
        (["--share-weights", "0"], "--devices, --share-weights: model must divide"),
        (
            ["--devices", "4096"],
            "--devices, --share-weights: num_devices must",
        ),
    ],
)
def test_bad_flags(toy, flags, message, capsys):
    assert toy("run", *flags) == 2
    assert f"avits: error: {message}" in capsys.readouterr().err
    assert not os.path.exists("run")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "prompts file none.csv does not exist"),
        ("empty.txt", b"", "prompts file empty.txt is empty"),
        ("p.csv", b"prompt\nhello\n", "p.csv has no column 'text'; it has: prompt"),
        ("p.txt", b"fine\n\xff\n", "prompts file p.txt is not UTF-8"),
        ("p.doc", b"x", "p.doc is not a prompts file: use .txt, .csv, .tsv, .jsonl"),
    ],
)
def test_bad_prompts_files(toy, tmp_path, name, content, message, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert toy("run", prompts=name) == 2
    assert f"avits: error: {message}" in capsys.readouterr().err
    assert not os.path.exists("run")


def test_settings_hold_what_decides_the_result(toy):
    assert toy("run", "--limit", "1") == 0
    made = read_run("run")
    assert made["settings"]["checkpoints"] == ["toy none", "red none", "loud none"] + [
        "green none"
    ]
    assert made["plan"] == {"num_candidates": 4}
    assert "limit" not in made["settings"] and made["judges"] == ["green"]


def test_labels_are_kept_with_the_run(toy, monkeypatch, capsys):
    (drawn,) = generators.infos()
    monkeypatch.setattr(generators, "infos", lambda *_: [drawn._replace(random=True)])
    judges = [
        info._replace(module=__name__) if info.name == "red" else info
        for info in verifiers.infos()
    ]
    monkeypatch.setattr(verifiers, "infos", lambda: judges)
    assert toy("run", "--limit", "1") == 0
    assert read_run("run")["random_weights"] == ["toy"]
    page = Path("run/report.html").read_text()
    assert "Random weights (toy): what they make" in page
    assert "red is for play only." in page
    with av.open("run/clips/sample_0000.mp4") as file:
        assert file.metadata["comment"].startswith("random weights (toy)")
    assert "warning: random weights (toy)" in capsys.readouterr().err


def test_too_little_memory_leaves_no_folder(toy, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(memory, "device_memory", lambda: memory.Memory(10, True))
    assert toy("run") == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("avits: error: this needs about 0.0")
    assert "--candidate-batch" in message
    assert not (tmp_path / "run").exists()


def test_a_run_starts_with_what_another_has_learned(toy, tmp_path, capsys):
    assert toy("whole", "--optimizer", "adam") == 0
    assert toy("first", "--optimizer", "adam", "--limit", "3") == 0
    (tmp_path / "rest.txt").write_text("\n".join(toy_command.PROMPTS[:3]))
    flags = ["--optimizer", "adam", "--start", "first"]
    assert toy("second", *flags, prompts="rest.txt") == 0
    # The same prompts again, from the state after them: as if they were six.
    assert records("second")[0].state != records("first")[0].state
    before = [r.rewards for r in records("first")]
    after = [r.rewards for r in records("second")]
    np.testing.assert_array_equal(before, after)
    assert toy("second", *flags, prompts="rest.txt") == 0
    assert "3 prompts are done already" in capsys.readouterr().err
    assert toy("second", "--optimizer", "adam", prompts="rest.txt") == 2
    assert "second is a run of other settings (start:" in capsys.readouterr().err
    assert toy("third", "--start", "first") == 2
    assert "state of another aggregator" in capsys.readouterr().err
    assert toy("third", *flags, "--verifiers", "red") == 2
    assert "--start: first learned from red, loud" in capsys.readouterr().err
    assert main(["merge", "second", "first", "--out", "both"]) == 2
    assert "second began with the state of another run" in capsys.readouterr().err


def test_a_run_starts_with_a_merged_state(toy):
    for shard in ("1/2", "2/2"):
        assert toy(f"shard{shard[0]}", "--shard", shard) == 0
    assert main(["merge", "shard1", "shard2", "--out", "both"]) == 0
    assert toy("next", "--start", "both", "--limit", "1") == 0
    learned = read_run("both")["learned"]
    fresh = states.on_host(avits_jax.arw([0.5, 0.5], "closed_form").init(2))
    merged = states.from_numbers(learned, fresh)
    assert states.numbers(merged) == learned
    (record,) = records("next")
    seen = states.numbers(states.unpack(record.state, fresh))["moments.num_rewards"]
    assert np.ravel(seen)[0] == np.ravel(learned["moments.num_rewards"])[0] + 4
