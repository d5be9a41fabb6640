"""Every search runs over prompts, at the cost that was predicted, and resumes."""

from pathlib import Path

import pytest
import toy_command

from avits_jax import report
from avits_jax.cli import main
from avits_jax.cli.commands.run import Options
from avits_jax.cli.policies import choose_policy
from avits_jax.media import read_clip
from avits_jax.report import load_results
from avits_jax.runs import read_records

SEARCHES = {
    "best_of_n": ["--candidate-batch", "3"],
    "adaptive_best_of_n": ["--chunk", "2", "--tolerance", "0.9"],
    "evosearch": ["--num-elites", "1", "--populations", "3,2,2", "--schedule", "0,2"],
    "smc": ["--potential", "max", "--ess-threshold", "1"],
    "beam_search": ["--num-children", "2", "--lookahead", "1"],
    "zero_order": ["--num-iterations", "2", "--rate", "0.5"],
    "pruned_best_of_n": ["--rungs", "1:3,2:1"],
    "draft_best_of_n": ["--num-kept", "2"],
}


@pytest.mark.parametrize("search", SEARCHES)
def test_search_over_prompts(toy, search):
    flags = ["--search", search, *SEARCHES[search]]
    assert toy("run", *flags, "--limit", "2") == 0
    for record in read_records("run"):
        assert 0 <= record.best < len(record.rewards) == len(record.judged)
        assert len({*record.judged[:, 0].tolist()}) > 1 or len(record.rewards) == 1
    assert record.nfe > 0 and record.decodes > 0


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("num_steps", [1, 2, 4, 24])
def test_defaults_suit_any_size(search, num_steps):
    generator = toy_command.toy_generator(num_steps)
    for num in (1, 2, 3, 16):
        sizes = {"search": search, "num_candidates": num}
        options = Options(prompts="p", out="o", **sizes)
        assert choose_policy(options, options, generator).cost.nfe > 0


@pytest.mark.parametrize("search", SEARCHES)
def test_budget_chooses_the_size(search):
    generator = toy_command.toy_generator(24)
    options = Options(prompts="p", out="o", search=search, max_nfe=1000)
    cost = choose_policy(options, options, generator).cost
    assert 800 <= cost.nfe <= 1000


@pytest.mark.parametrize("search", ["evosearch", "smc"])
def test_generate_takes_every_search(toy, search, monkeypatch):
    monkeypatch.setattr(report, "write_previews", lambda *args, **rates: [])
    flags = ["--search", search, "--num-candidates", "5", "--candidate-batch", "2"]
    generate = ["generate", "a prompt", "--model", "toy", "--verifiers", "red,loud"]
    small = ["--steps", "4", "--no-compilation-cache", "--out", "one"]
    assert main([*generate, *small, *flags, "--keep-candidates"]) == 0
    results = load_results("one")
    assert results["settings"]["search"] == search
    clips = sorted(path.name for path in Path("one/candidates").iterdir())
    assert len(clips) == len(results["candidates"]) > 0
    best = results["best_index"]
    assert read_clip("one/best.mp4").video.mean() == pytest.approx(
        read_clip(f"one/candidates/candidate_{best:03d}.mp4").video.mean(), abs=1
    )
