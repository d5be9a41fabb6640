"""Clips are copied as they are, into an mp4 whatever they were in."""

import numpy as np
import pytest
from making import bar, bar_places, click, make_file

from avits_jax.media import read_clip
from avits_jax.media.copying import copy_clip

TIMES = [i / 25 for i in range(20)]


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [
        ("mp4", ("libx264", "aac")),
        ("mkv", ("libx264", "aac")),
        ("webm", ("libvpx-vp9", "libopus")),
    ],
)
def test_pictures_and_sound_are_the_same(tmp_path, suffix, codecs):
    sound = click(0.4, 0.8, 48_000)
    source = tmp_path / f"clip.{suffix}"
    make_file(source, bar(20), TIMES, sound, codecs=codecs)
    copy_clip(source, tmp_path / "copy.mp4")
    before, after = read_clip(source), read_clip(tmp_path / "copy.mp4")
    assert bar_places(after.video) == list(range(20))
    np.testing.assert_array_equal(before.video, after.video)
    assert after.fps == pytest.approx(before.fps)
    peaks = [np.abs(clip.audio[0]).argmax() / 48_000 for clip in (before, after)]
    assert peaks[1] == pytest.approx(peaks[0], abs=0.002)
    if suffix == "mp4":
        assert source.read_bytes() == (tmp_path / "copy.mp4").read_bytes()


def test_what_no_mp4_can_hold_is_refused_and_nothing_is_left(tmp_path):
    source = tmp_path / "clip.mkv"
    make_file(source, bar(4), TIMES[:4], None, codecs=("msmpeg4", "aac"))
    with pytest.raises(ValueError, match=r"clip\.mkv cannot be put into an \.mp4"):
        copy_clip(source, tmp_path / "copy.mp4")
    broken = tmp_path / "broken.webm"
    broken.write_bytes(b"no clip")
    with pytest.raises(ValueError, match=r"broken\.webm cannot be put"):
        copy_clip(broken, tmp_path / "copy.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.webm", "clip.mkv"]
