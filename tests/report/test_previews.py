"""Contact sheets and spectrograms: layout, time axis, frequency axis, broken media."""

import numpy as np
import pytest
from fake_run import FPS, RATE, fake_media
from matplotlib.image import imread

from avits_jax.report import write_previews
from avits_jax.report.previews import mel_spectrogram
from avits_jax.types import Media


def test_one_picture_per_candidate(tmp_path):
    paths = write_previews(tmp_path, fake_media(3), fps=FPS, sample_rate=RATE)
    names = [f"candidate_{i:03d}.png" for i in range(3)]
    assert [path.name for path in paths] == names
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == names
    shapes = {imread(path).shape for path in paths}
    assert shapes == {(2 * (96 + 84) + 6, 8 * 96, 4)}


def test_frames_stand_above_their_own_sound(tmp_path):
    """Frame 10 and a click at its time appear at the same place of the second line."""
    video = np.zeros((1, 16, 32, 32, 3), np.float32)
    video[:, 10] = 1.0
    audio = np.zeros((1, 32_000), np.float32)
    audio[:, 21_000] = 1.0  # the middle of frame 10
    path = write_previews(tmp_path, Media(video, audio), fps=8.0, sample_rate=RATE)[0]
    image = imread(path)[..., :3].mean(2)
    pictures, sound = image[186 : 186 + 96], image[186 + 96 :]
    assert np.flatnonzero(pictures[48] > 0.9).mean() == pytest.approx(2.5 * 96, abs=2)
    columns = np.flatnonzero(sound.mean(0) > 0.5 * sound.mean(0).max())
    assert columns.mean() == pytest.approx(2.5 * 96, abs=5)
    assert image[:90].max() < 0.6  # the first line shows neither


def test_pitch_is_height():
    moments = np.arange(RATE) / RATE
    tops = []
    for pitch in (220, 880, 3520):
        tone = np.sin(2 * np.pi * pitch * moments).astype(np.float32)
        tops.append(int(mel_spectrogram(tone, RATE, 1.0).mean(1).argmax()))
    mel = 2595 * np.log10(1 + np.array([220, 880, 3520, RATE / 2]) / 700)
    np.testing.assert_allclose(tops, mel[:3] / mel[3] * 85 - 1, atol=1.5)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((1, 1, 40, 30), 1), ((2, 9, 64, 200), 2), ((1, 50, 8, 8), 1)],
)
def test_any_size_and_length(tmp_path, shape, channels):
    count, frames = shape[:2]
    video = np.full((*shape, 3), 0.5, np.float32)
    sound = (count, 48_000 * frames // 25)
    audio = np.zeros(
        sound if channels == 1 else (count, channels, sound[1]), np.float32
    )
    paths = write_previews(tmp_path, Media(video, audio), fps=25.0, sample_rate=48_000)
    assert len(paths) == count
    assert imread(paths[0]).shape[1] >= min(frames, 8) * 90


def test_failed_candidates_are_drawn_too(tmp_path):
    media = fake_media(2)
    media.video[1], media.audio[1] = np.nan, np.nan
    paths = write_previews(tmp_path, media, fps=FPS, sample_rate=RATE)
    assert imread(paths[1])[:90, :90, :3].max() == 0


def test_refuses_media_that_do_not_match(tmp_path):
    media = Media(np.zeros((2, 4, 8, 8, 3)), np.zeros((3, 100)))
    with pytest.raises(ValueError, match="2 videos but 3 sounds"):
        write_previews(tmp_path, media, fps=8.0, sample_rate=RATE)
