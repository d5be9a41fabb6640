"""The scripts that count, time and compare verifiers, at their smallest."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from avits_jax.nn.abstract import abstract  # noqa: E402
from avits_jax.types import Media, Verifier  # noqa: E402
from tools import (  # noqa: E402
    bench_verifiers,
    verifier_flops,
    verifier_precision,
    verifier_savings,
)
from tools.verifier_clips import rank_correlation, rendered  # noqa: E402
from tools.verifier_networks import Family  # noqa: E402

QUICK = {("ta_ib",), ("video_reward",), ("clap",)}
SHARED = ("avh_score", "javis_score")


def check_ratios(cases):
    text, worst = verifier_flops.table(cases)
    assert len(text.splitlines()) == len(cases) + 2
    assert 0.9 < worst <= verifier_flops.LIMIT, text


def test_work_of_some():
    found = verifier_flops.cases()
    check_ratios([case for case in found if case.names in QUICK and case.mode == "its"])


@pytest.mark.slow  # traces 33 programs of full size: 12 s
def test_work_of_every_mode():
    check_ratios(verifier_flops.cases())


def test_shared_passes_count_once():
    chosen = [
        case
        for case in verifier_flops.cases()
        if case.mode == "its" and set(case.names) <= set(SHARED)
    ]
    work = {
        case.names: verifier_flops.count_flops(verifier_flops.program(case))
        for case in chosen
    }
    apart = sum(work[(name,)] for name in SHARED)
    assert work[SHARED] < 0.51 * apart


def test_unused_work_does_not_count():
    x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    count = verifier_flops.count_flops
    both = verifier_flops.used_jaxpr(lambda x: (x @ x, x @ x @ x), x)
    one = verifier_flops.used_jaxpr(lambda x: (x @ x, x @ x @ x)[0], x)
    assert count(both) == 3 * count(one) == 3 * 2 * 8**3


def mean_verifiers(names, **options):
    """Verifiers that take means, and weights, as `avits_jax.verifiers.load` does."""

    def score(params, media, cond):
        return params * media.video.mean((1, 2, 3, 4)) + cond

    assert options["random_weights"] and options["fps"] == 4.0
    found = tuple(Verifier(name, score, lambda text: len(text)) for name in names)
    return found, (jnp.ones(()),) * len(found)


def test_bench_prints_a_line_for_each_batch(capsys, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        bench_verifiers.avits.verifiers,
        "load",
        lambda names, **rest: asked.append(names) or mean_verifiers(names, **rest),
    )
    output = tmp_path / "figures.json"
    bench_verifiers.main(
        "--verifiers clap+av_align --batches 1 2 --frames 4 --size 16 16 --fps 4 "
        f"--repeats 1 --json {output}".split()
    )
    text = capsys.readouterr().out
    lines = [x for x in text.splitlines() if x.startswith("| clap")]
    assert [line.split("|")[2].strip() for line in lines] == ["1", "2"]
    assert asked == [["clap@tiny", "av_align"]]
    figures = json.loads(output.read_text("utf-8"))
    assert all(line["clips_per_second"] > 0 for line in figures)
    assert [line["weights_gb"] for line in figures] == [4e-9, 4e-9]
    # The share is of the product that was timed in the same call.
    (rate,) = {line["matrix_tflop_per_second"] for line in figures}
    assert rate > 0 and f"One large float32 matrix product: {rate:.4g} TFLOP/s." in text
    shares = [f"{line['tflop_per_second'] / rate:.1%}" for line in figures]
    assert [line.split("|")[8].strip() for line in lines] == shares


def test_shares_are_of_the_measured_and_of_the_stated_rate(monkeypatch):
    line = dict.fromkeys(
        ("clips_per_second", "one_at_a_time", "speedup", "gflop_per_clip"), 1.0
    ) | {
        "verifiers": "clap",
        "batch": 4,
        "tflop_per_second": 300.0,
        "weights_gb": 1.0,
        "temporary_gb": None,
        "compile_seconds": 1.0,
    }
    assert "| 300 | 40.0% | - |" in bench_verifiers.table([line], 750.0)
    monkeypatch.setattr(bench_verifiers, "bfloat16_rate", lambda: 1000.0)
    assert "| 300 | 40.0% | 30.0% |" in bench_verifiers.table([line], 750.0)


@pytest.fixture
def clips() -> Media:
    rng = np.random.default_rng(0)
    video, audio = rng.uniform(size=(6, 2, 4, 4, 3)), rng.normal(size=(6, 9))
    return Media(*(jnp.asarray(x, jnp.float32) for x in (video, audio)))


@pytest.mark.slow  # compiles the rendering of a world: 3 s
def test_rendered_clips_differ_and_keep_their_range():
    clips = rendered(3, fps=2.0, scale=1)
    assert clips.video.shape == (3, 8, 32, 32, 3)
    assert clips.audio.shape == (3, 64_000)
    assert 0 <= clips.video.min() and clips.video.max() <= 1
    assert np.abs(clips.audio).max() <= 1
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for media in clips:
            assert not np.array_equal(media[one], media[other])


def linear_family() -> Family:
    """One linear layer on the mean colour."""

    def score(model, config, media, fps, scale=1.0):
        color = media.video.mean((1, 2, 3)).astype(model.kernel[...].dtype)
        return {"score": scale * model(color)[:, 0].astype(jnp.float32)}

    def build(config):
        return abstract(lambda rngs: nnx.Linear(3, 1, rngs=rngs))

    return Family("", None, None, lambda golden: None, build, lambda *_: None, score)


def test_bfloat16_is_near_float32(clips):
    found = verifier_precision.compare(linear_family(), "deep", clips)["score"]
    assert 0 < found.rms <= found.largest < 0.02
    assert found.spread > 0
    assert verifier_precision.row("x", "deep", found).count("|") == 9


def test_broken_scores_are_refused():
    with pytest.raises(ValueError, match="finite"):
        verifier_precision.distance(np.array([0.0, np.nan]), np.zeros(2))


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 40))
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1.0)
    assert np.isnan(rank_correlation(a, np.zeros(40)))


def test_savings_are_rows_with_less_work(clips, monkeypatch):
    small = linear_family()
    monkeypatch.setitem(verifier_savings.FAMILIES, "linear", small)
    saving = verifier_savings.Saving("linear", ("score",), "upside down", {"scale": -1})
    lines = verifier_savings.rows(saving, "deep", verifier_savings.Ranking(clips))
    assert lines == [
        "| score | upside down | 0.00 of 0.00 | 1.00 | deep | -1.000 | no |"
    ]


def test_a_quarter_of_the_frames_is_a_quarter_of_the_work():
    quarter = next(each for each in verifier_savings.SAVINGS if each.name[:2] == "6 ")
    full, less = (
        verifier_savings.work(quarter, each)
        for each in (quarter.against, quarter.settings)
    )
    assert 0.25 < less / full < 0.27


@pytest.mark.slow  # traces 20 programs of full size: 8 s
def test_every_saving_saves():
    for saving in verifier_savings.SAVINGS:
        full, less = (
            verifier_savings.work(saving, each)
            for each in (saving.against, saving.settings)
        )
        assert 0 < less < 0.95 * full, saving
