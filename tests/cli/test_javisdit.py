"""The reduced JavisDiT, every module real, through generate and every search."""

import json
from pathlib import Path

import av
import jax
import numpy as np
import pytest

from avits_jax.cli import main
from avits_jax.report import load_results
from avits_jax.runs import read_records, read_run

COMMON = ["--config", "javisdit-tiny", "--num-candidates", "2"]
SEARCHES = {
    "pruned_best_of_n": ["--rungs", "1:1"],
    "best_of_n": [],
    "adaptive_best_of_n": ["--chunk", "1"],
    "evosearch": ["--populations", "2,2,2", "--schedule", "0,1", "--num-elites", "1"],
    "smc": ["--resample-steps", "1"],
    "beam_search": ["--num-children", "2", "--branch-steps", "0"],
    "zero_order": ["--num-iterations", "2"],
    "draft_best_of_n": ["--draft", "3", "--num-kept", "1"],
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Work in a folder of one's own, and leave JAX's cache as it was."""
    monkeypatch.chdir(tmp_path)
    enabled = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", enabled)


def test_generate_with_the_papers_verifiers(no_pictures, capsys):
    flags = [*COMMON, "--judge", "ta_ib@tiny", "--no-compilation-cache"]
    flags += ["--frame-rate", "4"]
    assert main(["generate", "A dog barks in the rain", *flags, "--out", "run"]) == 0
    results = load_results("run")
    assert results["settings"]["frame_rate"] == 4
    names = [verifier["name"] for verifier in results["verifiers"]]
    assert names == [
        *("javis_score@tiny", "video_reward@tiny", "clap@tiny", "ta_ib@tiny")
    ]
    assert results["random_weights"] == ["javisdit-tiny", *names]
    for candidate in results["candidates"]:
        assert np.isfinite(candidate["rewards"]).all() and candidate["reason"] is None
    assert "warning: random weights (javisdit-tiny, javis" in capsys.readouterr().err
    with av.open("run/best.mp4") as file:
        assert file.streams.video[0].frames >= results["clip"]["frames"]
        assert "javisdit-tiny" in file.metadata["comment"]


# The slow ones compile for a minute each; the core's tests hold them for any generator.
_QUICK = {"best_of_n"}


@pytest.mark.parametrize(
    "search",
    [
        pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow)
        for name in SEARCHES
    ],
)
def test_run_with_every_search(search):
    prompts = ["A dog barks", "Rain falls on a roof"]
    rows = [json.dumps({"text": prompt}) for prompt in prompts]
    Path("prompts.jsonl").write_text("\n".join(rows))
    flags = [*COMMON, "--search", search, *SEARCHES[search], "--no-compilation-cache"]
    flags += ["--verifiers", "clap@tiny", "--judge", "tv_ib@tiny"]
    assert main(["run", "prompts.jsonl", *flags, "--out", "run"]) == 0
    records = list(read_records("run"))
    assert [record.prompt for record in records] == prompts
    for record in records:
        assert np.isfinite(record.rewards).all() and np.isfinite(record.judged).all()
        assert record.nfe > 0
        assert Path(f"run/clips/sample_000{record.row}.mp4").is_file()
    assert (records[0].rewards[0] != records[1].rewards[0]).all()
    assert read_run("run")["random_weights"] == [
        *("javisdit-tiny", "clap@tiny", "tv_ib@tiny")
    ]
