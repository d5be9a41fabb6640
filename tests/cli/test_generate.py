"""avits generate from prompt to run folder, over a toy backend."""

import contextlib
import json
import tomllib

import av
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.catalogue import generators as known_models
from avits_jax.catalogue import verifiers as known
from avits_jax.catalogue.records import Info
from avits_jax.cli import backend, main, program
from avits_jax.report import load_results
from avits_jax.weights.model import Model

PROMPT = "a red circle"
MODEL = Model("green", (), notice="green is for play only")


@pytest.fixture
def first_run(toy_backend, toy_flags, tmp_path, capsys):
    """A finished run, and what it printed."""
    arguments = ["generate", PROMPT, *toy_flags, "--out", "first", "--keep-candidates"]
    assert main(arguments) == 0
    return tmp_path / "first", capsys.readouterr()


def test_run_folder_is_complete(first_run):
    folder, printed = first_run
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    expected = {"best.mp4", "results.json", "config.toml", "report.html"}
    expected |= {f"candidates/candidate_00{i}.mp4" for i in range(3)}
    expected |= {f"previews/candidate_00{i}.png" for i in range(3)}
    assert expected <= names
    assert [path.name for path in folder.parent.iterdir()] == ["first"]
    assert "first/best.mp4" in printed.out and "score" in printed.out
    assert "Compiled in" in printed.err


def test_results_agree_with_themselves(first_run):
    results = load_results(first_run[0])
    assert results["prompt"] == PROMPT and results["model"] == "toy"
    assert results["clip"]["frames"] == 4 and results["clip"]["sample_rate"] == 8000
    assert results["cost"]["nfe"] == 3 * 2 * 2
    assert results["cost"]["verifier_calls"] == 3 * 2
    assert results["settings"]["steps"] == 2
    weights = [verifier["weight"] for verifier in results["verifiers"]]
    for candidate in results["candidates"]:
        if not candidate["failed"]:
            score = np.dot(weights, candidate["calibrated"])
            np.testing.assert_allclose(score, candidate["score"], rtol=1e-5)
            sigmas = [v["sigma_after"] for v in results["verifiers"]]
            np.testing.assert_allclose(
                np.divide(candidate["rewards"], sigmas),
                candidate["calibrated"],
                rtol=1e-3,
            )
    best = results["candidates"][results["best_index"]]
    assert best["rank"] == 1
    assert best["score"] == max(
        c["score"] for c in results["candidates"] if not c["failed"]
    )


def test_config_of_a_run_gives_the_same_run(first_run, capsys):
    folder, _ = first_run
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["prompt"] == PROMPT and config["num_candidates"] == 3
    arguments = ["generate", "--config", str(folder / "config.toml"), "--out", "again"]
    assert main(arguments) == 0
    again = load_results(folder.parent / "again")
    first = load_results(folder)
    for key in ("prompt", "candidates", "verifiers", "aggregator", "settings"):
        assert again[key] == first[key]


def test_flags_override_the_config(first_run):
    folder, _ = first_run
    config = ["--config", str(folder / "config.toml")]
    arguments = ["generate", *config, "--num-candidates", "2", "--out", "again"]
    assert main(arguments) == 0
    assert len(load_results(folder.parent / "again")["candidates"]) == 2


def test_existing_run_is_replaced_only_by_force(first_run, toy_flags, capsys):
    folder, _ = first_run
    before = (folder / "results.json").read_bytes()
    arguments = ["generate", PROMPT, *toy_flags, "--out", "first", "--seed", "7"]
    assert main(arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert (folder / "results.json").read_bytes() == before
    assert main([*arguments, "--force"]) == 0
    assert load_results(folder)["seed"] == 7
    kept = [path.name for path in (folder / "candidates").iterdir()]
    assert kept == ["candidate_000.mp4"]  # what one would have got without search
    assert [path.name for path in folder.parent.iterdir()] == ["first"]


def test_report_is_written_again(first_run, capsys):
    folder, _ = first_run
    (folder / "report.html").unlink()
    assert main(["report", "first"]) == 0
    assert (folder / "report.html").stat().st_size > 1000
    assert capsys.readouterr().out.strip() == "first/report.html"


def test_default_folder_is_named_after_the_prompt(toy_backend, toy_flags, tmp_path):
    arguments = ["generate", "Ä circle, RED!", *toy_flags, "--seed", "5"]
    assert main(arguments) == 0
    assert (tmp_path / "runs" / "circle-red-5" / "best.mp4").is_file()


def test_candidate_batch_and_step_progress_change_nothing(
    toy_backend, no_pictures, toy_flags, tmp_path, monkeypatch
):
    totals, moved = [], []
    real = program.stage

    @contextlib.contextmanager
    def counting(title, done="", total=None):
        totals.append(total)
        with real(title, done, total) as current:
            current.advance = moved.append
            yield current

    monkeypatch.setattr(program, "stage", counting)
    assert main(["generate", PROMPT, *toy_flags, "--out", "plain"]) == 0
    assert (totals, moved) == ([None, None], [])
    flags = [*toy_flags, "--candidate-batch", "2", "--step-progress"]
    assert main(["generate", PROMPT, *flags, "--out", "batched"]) == 0
    # Three candidates, two steps, two evaluations each.
    assert totals[-1] == sum(moved) == 3 * 2 * 2
    plain = load_results(tmp_path / "plain")["candidates"]
    batched = load_results(tmp_path / "batched")["candidates"]
    for one, other in zip(plain, batched, strict=True):
        assert one["rank"] == other["rank"]
        if one["rank"]:
            np.testing.assert_allclose(one["score"], other["score"], rtol=1e-5)


@pytest.mark.parametrize(
    "flags",
    [
        ["--aggregator", "arw", "--optimizer", "adam", "--learning-rate", "0.1"],
        ["--aggregator", "weighted", "--weights", "0.7", "0.3"],
        ["--aggregator", "rank"],
        ["--aggregator", "minmax"],
        ["--aggregator", "zscore", "--mean", "0.5,0.5", "--std", "0.1,0.2"],
        ["--aggregator", "zscore_candidate"],
        ["--aggregator", "zscore_history"],
    ],
)
def test_every_aggregator_runs(toy_backend, no_pictures, toy_flags, tmp_path, flags):
    assert main(["generate", PROMPT, *toy_flags, *flags, "--out", "run"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["aggregator"]["name"] == flags[1]
    for candidate in results["candidates"]:
        if not candidate["failed"]:
            score = np.dot(results["aggregator"]["weights"], candidate["calibrated"])
            np.testing.assert_allclose(score, candidate["score"], rtol=1e-4, atol=1e-5)


def test_all_candidates_failed_names_the_verifier(
    toy_backend, toy_flags, tmp_path, capsys
):
    flags = [*toy_flags, "--out", "run"]
    flags[flags.index("--verifiers") + 1] = "red,broken"
    assert main(["generate", PROMPT, *flags]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("avits: error: all 3 candidates failed: broken gave")
    assert list(tmp_path.iterdir()) == []


def test_judges_watch_apart(toy_backend, toy_flags, tmp_path, capsys):
    assert main(["generate", PROMPT, *toy_flags, "--out", "alone"]) == 0
    flags = [*toy_flags, "--judge", "blue,broken", "--candidate-batch", "2"]
    assert main(["generate", PROMPT, *flags, "--out", "run"]) == 0
    results, alone = load_results(tmp_path / "run"), load_results(tmp_path / "alone")
    guides = [(v["name"], v["guides"]) for v in results["verifiers"]]
    names = ["red", "green", "blue", "broken"]
    assert guides == list(zip(names, [True, True, False, False], strict=True))
    assert results["best_index"] == alone["best_index"]
    assert results["cost"]["verifier_calls"] == alone["cost"]["verifier_calls"]
    for one, other in zip(results["candidates"], alone["candidates"], strict=True):
        np.testing.assert_allclose(one["rewards"][0], other["rewards"][0], rtol=1e-5)
        assert one["rank"] == other["rank"] and one["calibrated"][2:] == [None, None]
        assert one["rewards"][2] > 0 and one["rewards"][3] is None
        assert one["failed"] == other["failed"]
        assert one["reason"].endswith("broken gave nan")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "blue (did not guide)" in page and "2 that did not guide" in page
    assert "judge" in capsys.readouterr().out


def test_random_weights_and_licences_are_said(
    toy_backend, toy_flags, tmp_path, capsys, monkeypatch
):
    labelled = [
        Info("toy", "", "", None, random=True),
        Info("green", "", "", None, module=__name__),
        Info("red", "", "", tmp_path / "none"),
    ]
    monkeypatch.setattr(known_models, "infos", lambda *_: labelled[:1])
    monkeypatch.setattr(known, "infos", lambda: labelled[1:])
    toy_flags.append("--random-weights")
    flags = [*toy_flags, "--out", "run", "--keep-candidates"]
    assert main(["generate", PROMPT, *flags]) == 0
    printed = capsys.readouterr().err
    assert "warning: random weights (toy, red): what they make or say" in printed
    assert "note: green is for play only" in printed
    assert load_results(tmp_path / "run")["random_weights"] == ["toy", "red"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Random weights (toy, red)" in page and "green is for play only." in page
    for clip in ("best.mp4", "candidates/candidate_000.mp4"):
        with av.open(tmp_path / "run" / clip) as file:
            assert file.metadata["comment"].startswith("random weights (toy, red)")


def test_broken_clips_are_the_generators_fault(
    toy_backend, no_pictures, toy_flags, tmp_path, capsys, monkeypatch
):
    load = backend.load

    def broken(options, names, machine):
        loaded = load(options, names)
        # One candidate of three holds NaN; under another seed all do.
        least = jnp.where(options.seed == 9, -9.0, 0.5)

        def decode(params, candidates):
            media = loaded.generator.decode(params, candidates)
            bad = media.video[:, :1, :1, :1, :1] > least
            return media._replace(video=jnp.where(bad, jnp.nan, media.video))

        return loaded._replace(generator=loaded.generator._replace(decode=decode))

    monkeypatch.setattr(backend, "load", broken)
    assert main(["generate", PROMPT, *toy_flags, "--seed", "4", "--out", "run"]) == 0
    reasons = [c["reason"] for c in load_results(tmp_path / "run")["candidates"]]
    assert "the generator's clip holds NaN or infinity" in reasons
    assert main(["generate", PROMPT, *toy_flags, "--seed", "9", "--out", "all"]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    why = "the generator gave NaN or infinity for 3"
    assert message == f"avits: error: all 3 candidates failed: {why}"
