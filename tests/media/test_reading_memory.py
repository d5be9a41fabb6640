"""What pictures are kept: within the bound, scaled and thinned, and said so."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from making import click, flashes, make_file

from avits_jax.media import read_clip
from avits_jax.media.reading import PICTURE_BYTES

TIMES = [index / 60 for index in range(30)]
PEAK = """
import resource, sys, av, numpy
from avits_jax.media import read_clip
read_clip(sys.argv[1], max_bytes=3 * 320 * 180, needs_sound=False)
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
clip = read_clip(sys.argv[2], max_bytes=2**24, needs_sound=False)
end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(clip.video.nbytes, (end - start) * 1024)
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Half a second at 60 fps of 96x64."""
    path = tmp_path_factory.mktemp("film") / "a.mkv"
    video = flashes(TIMES, 12, (64, 96))
    return make_file(path, video, TIMES, click(0.2, 0.5, 48_000))


@pytest.mark.parametrize(
    ("share", "fps", "notes"),
    [
        (1, 60, ()),
        (0.5, 30, ("60 fps thinned to 30 fps",)),
        (0.2, 30, ("60 fps thinned to 30 fps", "96x64 scaled to 60x40")),
    ],
)
def test_pictures_keep_within_the_bound(film, share, fps, notes):
    bound = int(share * 30 * 64 * 96 * 3)
    clip = read_clip(film, max_bytes=bound)
    assert clip.video.nbytes <= bound < 1.2 * clip.video.nbytes
    assert clip.fps == fps and clip.notes == notes
    lit = np.flatnonzero(clip.video.mean((1, 2, 3)) > 100)
    np.testing.assert_allclose(lit / clip.fps, 0.2)


def test_whatever_is_asked_something_is_kept(film):
    assert read_clip(film, max_bytes=1).video.shape[1:] == (1, 1, 3)
    with pytest.raises(ValueError, match="max_bytes must be above 0, got 0"):
        read_clip(film, max_bytes=0)


def test_pictures_lie_where_jax_takes_them_without_a_copy(film):
    assert read_clip(film).video.ctypes.data % 64 == 0


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="peaks are counted as on Linux")
def test_memory_of_large_pictures_is_bounded(tmp_path):
    """60 pictures of 1920x1080 are 373 MB: 16 are to be kept, and FFmpeg has some."""
    times = [index / 30 for index in range(60)]
    large = make_file(
        tmp_path / "a.mp4",
        np.zeros((60, 1, 1, 3), np.uint8).repeat(1080, 1).repeat(1920, 2),
        times,
        None,
        codecs=("mjpeg", "aac"),
        pix_fmt="yuvj420p",
    )
    small = make_file(
        tmp_path / "b.mp4", flashes(TIMES[:2], 0, (180, 320)), TIMES[:2], None
    )
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, small, large],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, peak = map(int, ran.stdout.split())
    assert kept <= 2**24
    assert peak < 2**24 + 100e6


def test_the_bound_holds_a_film_of_five_seconds():
    assert 132 * 1280 * 720 * 3 <= PICTURE_BYTES <= 500e6
