"""Broken files: a clip within its limits, or one ValueError of one line."""

import numpy as np
import pytest
from making import bar, click, make_file

from avits_jax.media import read_clip

LIMIT, BYTES = 2.0, 2**22
KINDS = {
    "a.mp4": ("libx264", "aac"),
    "a.mkv": ("libx264", "flac"),
    "a.avi": ("mpeg4", "pcm_s16le"),
    "a.webm": ("libvpx-vp9", "libopus"),
    "a.ts": ("libx264", "mp2"),
}


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """Return the bytes of one small file of each kind, by name."""
    folder = tmp_path_factory.mktemp("whole")
    times = [index / 25 for index in range(12)]
    sound = click(0.2, 0.5, 48_000)
    files = {}
    for name, codecs in KINDS.items():
        path = make_file(folder / name, bar(12), times, sound, codecs=codecs)
        files[name] = np.frombuffer(path.read_bytes(), np.uint8)
    return files


def mutant(data, rng):
    """Return bytes with some flipped, cut, doubled, zeroed or made huge."""
    data = data.copy()
    # Headers are short; faults in them are the ones that matter.
    reach = rng.choice([64, 1024, len(data)])
    place = int(rng.integers(min(reach, len(data) - 8)))
    kind = rng.integers(5)
    if kind == 0:
        places = rng.integers(min(reach, len(data)), size=rng.integers(1, 20))
        data[places] ^= rng.integers(1, 256, len(places)).astype(np.uint8)
    elif kind == 1:
        data = data[:place]
    elif kind == 2:
        data = np.concatenate([data[:place], data[place // 2 :]])
    elif kind == 3:
        data[place : place + int(rng.integers(1, 64))] = 0
    else:
        data[place : place + int(rng.integers(1, 9))] = 255
    return data.tobytes()


def read_mutants(whole_files, folder, seed, count):
    """Read mutants; return how many were clips and how many were refused."""
    rng, read, refused = np.random.default_rng(seed), 0, 0
    for number in range(count):
        name = list(whole_files)[number % len(whole_files)]
        path = folder / name
        path.write_bytes(mutant(whole_files[name], rng))
        try:
            clip = read_clip(
                path, max_seconds=LIMIT, needs_sound=False, max_bytes=BYTES
            )
        except ValueError as error:
            assert str(error).startswith(f"clip {path} "), (seed, number)
            assert "\n" not in str(error), (seed, number)
            refused += 1
        else:
            check(clip)
            read += 1
    return read, refused


def check(clip):
    """Assert what every clip is."""
    assert 0 < clip.video.nbytes <= BYTES and len(clip.video) <= 240 * LIMIT
    assert 0 < clip.fps <= 240
    assert np.isfinite(clip.audio).all() and np.abs(clip.audio).max(initial=0) <= 1
    assert clip.audio.shape[-1] <= round(LIMIT * clip.sample_rate)
    assert bool(len(clip.audio)) == bool(clip.sample_rate) == bool(clip.layout)


def test_some_mutants(whole_files, tmp_path):
    read, refused = read_mutants(whole_files, tmp_path, seed=0, count=60)
    assert read > 10 and refused > 5


@pytest.mark.slow
def test_two_thousand_mutants(whole_files, tmp_path):
    read, refused = read_mutants(whole_files, tmp_path, seed=1, count=2000)
    print(f"{read} read, {refused} refused")
    assert read > 400 and refused > 200
