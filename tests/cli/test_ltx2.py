"""The reduced LTX-2.3 through generate, both stages; bad input is one line."""

from pathlib import Path

import av
import jax
import numpy as np
import pytest
from conftest import info
from test_two_stages import write_png

from avits_jax import verifiers
from avits_jax.catalogue import verifiers as known
from avits_jax.cli import main
from avits_jax.media import read_clip
from avits_jax.report import load_results
from avits_jax.types import Verifier

COMMON = [
    *("--model", "ltx-2.3-tiny", "--verifiers", "red", "--num-candidates", "2"),
    *("--steps", "1", "--duration", "9", "--no-compilation-cache"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch, no_pictures):
    """Work in an empty folder with a picture, judged by a verifier without cost."""

    def load(names, **settings):
        def red(params, media, cond):
            return media.video[..., 0].mean((1, 2, 3))

        return (Verifier("red", red),) * len(names), ((),) * len(names)

    minis = known.infos()
    monkeypatch.setattr(known, "infos", lambda: [*minis, info("red")])
    monkeypatch.setattr(verifiers, "load", load)
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.chdir(tmp_path)
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[..., 0] = 255
    write_png("red.png", picture)
    Path("text.png").write_text("no picture, this")
    enabled = jax.config.jax_enable_compilation_cache
    yield tmp_path
    jax.config.update("jax_enable_compilation_cache", enabled)


def test_a_picture_and_a_long_prompt_through_both_stages(folder, capsys):
    flags = [*COMMON, "--resolution", "64x128", "--image", "red.png"]
    flags += ["--refine", "2", "--preview-decoder"]
    prompt = " ".join(["A dog barks in the rain."] * 300)
    assert main(["generate", prompt, *flags, "--out", "run"]) == 0
    told = capsys.readouterr()
    assert "tokens, of which 320 are read" in told.err.replace("\n", " ")
    results = load_results("run")
    assert results["clip"]["sample_rate"] == 48_000
    assert (results["clip"]["frames"], results["clip"]["fps"]) == (9, 24.0)
    assert (results["clip"]["height"], results["clip"]["width"]) == (64, 128)
    assert results["settings"]["refine"] == 2
    assert results["settings"]["preview_decoder"] is True
    assert sorted(row["index"] for row in results["refined"]) == [0, 1]
    for row in results["refined"]:
        assert np.isfinite(row["rewards"]).all() and row["reason"] is None
    assert results["random_weights"] == ["ltx-2.3-tiny"]
    best, small = (
        read_clip(f"run/{name}.mp4") for name in ("best", "candidates/candidate_000")
    )
    assert (best.sample_rate, best.audio.shape[0]) == (48_000, 2)
    with av.open("run/best.mp4") as file:
        assert file.streams.audio[0].rate == 48_000
        assert file.streams.audio[0].layout.name == "stereo"
    assert best.video.shape[1] / best.video.shape[2] == 0.5
    assert small.video.shape[1] / small.video.shape[2] == 0.5


BAD = [
    (["--resolution", "500x768"], "the nearest is 512x768"),
    (["--duration", "120"], "a clip has 8 k + 1, the nearest are 113 and 121"),
    (["--resolution", "96x128", "--refine", "1"], "multiples of 64"),
    (["--image", "text.png"], "picture text.png cannot be read"),
    (["--image", "none.png"], "picture none.png does not exist"),
    (["--model", "mini", "--refine", "1"], "--refine: mini has no second stage"),
    (["--model", "javisdit-tiny", "--refine", "1"], "javisdit-tiny has no second st"),
    (["--model", "ltx-2.3"], "ltx-2.3"),
    (["--set", "stg_scale=-1"], "error: --set stg_scale is -1.0; expected a number"),
    (["--set", "rescale=2"], "error: --set rescale is 2.0; expected a number of at"),
    (["--resolution", "9x9"], "error: --resolution is 9x9; height and width are mul"),
    (
        ["--model", "javisdit-tiny", "--dtype", "float8"],
        "error: --dtype float8: javisdit-tiny has no weights that can be held so",
    ),
    (
        ["--verifiers", "mini_tv"],
        "of mini alone; for ltx-2.3-tiny name others: --verifiers clap@tiny,av_align",
    ),
]


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_bad_input_is_one_line_and_leaves_nothing(folder, flags, message, capsys):
    asked = [flag for flag in COMMON if flag not in ("--duration", "9")]
    if "--model" in flags:
        asked = ["--verifiers", "red", "--num-candidates", "2"]
    assert main(["generate", "A dog", *asked, *flags, "--out", "none"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in " ".join(told[-3:]) and not Path("none").exists()
