"""avits verify on clips that fit, on clips that do not, and on what is no clip."""

import json

import numpy as np
import pytest

from avits_jax.cli import main
from avits_jax.media import write_clip

FLAGS = ["--model", "toy", "--verifiers", "red,green", "--no-compilation-cache"]


def write_color(path, red, frames=4, size=16):
    """Write a clip of one colour with a tone."""
    video = np.zeros((frames, size, size, 3), np.float32)
    video[..., 0], video[..., 2] = red, 0.8
    audio = 0.3 * np.sin(np.arange(frames * 1000, dtype=np.float32) / 5)
    return write_clip(path, video, audio, fps=8.0, sample_rate=8000, scale=1)


def test_reward_follows_the_picture(toy_backend, tmp_path, capsys):
    rewards = []
    for red in (0.2, 0.9):
        write_color(tmp_path / "clip.mp4", red)
        flags = ["--json", *FLAGS]
        assert main(["verify", "clip.mp4", "a red circle", *flags]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert set(printed["rewards"]) == {"red", "green"}
        rewards.append(printed["rewards"]["red"])
    np.testing.assert_allclose(rewards, (0.2, 0.9), atol=0.08)


def test_what_is_changed_to_fit_is_said(toy_backend, tmp_path, capsys):
    write_color(tmp_path / "clip.mp4", 0.5, frames=8, size=32)
    assert main(["verify", "clip.mp4", "a red circle", *FLAGS]) == 0
    printed = capsys.readouterr().out
    assert "red" in printed
    notes = [x for x in printed.splitlines() if x.startswith("changed to fit: ")]
    assert len(notes) >= 2 and any("32" in note for note in notes)


def test_failed_verifier_is_named(toy_backend, tmp_path, capsys):
    write_color(tmp_path / "clip.mp4", 0.5)
    flags = [*FLAGS]
    flags[flags.index("--verifiers") + 1] = "red,broken"
    assert main(["verify", "clip.mp4", "a red circle", *flags]) == 1
    printed = capsys.readouterr()
    assert printed.err.strip() == "avits: error: broken gave no finite reward"
    assert "failed" in printed.out


@pytest.mark.parametrize("fault", ["missing", "text", "empty", "folder"])
def test_what_is_no_clip(toy_backend, tmp_path, capsys, fault):
    path = tmp_path / "clip.mp4"
    if fault == "text":
        path.write_text("no clip at all")
    if fault == "empty":
        path.write_bytes(b"")
    if fault == "folder":
        path.mkdir()
    assert main(["verify", "clip.mp4", "a red circle", *FLAGS]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert "clip.mp4" in printed.err


def test_bad_prompt_and_names(toy_backend, tmp_path, capsys):
    write_color(tmp_path / "clip.mp4", 0.5)
    for arguments, message in [
        (["", *FLAGS], "the prompt is empty"),
        (["a square", *FLAGS], "toy understands circles alone"),
        (
            ["a circle", *FLAGS, "--model", "toi"],
            "unknown model 'toi' (there are: toy); did you mean 'toy'?",
        ),
        (["a circle", *FLAGS, "--verifiers", "blu"], "unknown verifier 'blu'"),
    ]:
        assert main(["verify", "clip.mp4", *arguments]) == 2
        assert message in capsys.readouterr().err
