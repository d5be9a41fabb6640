"""mp4 round trip: picture, colours, sound, lag, low rates, refusals."""

import os

import av
import numpy as np
import pytest

from avits_jax.media import fit_clip, read_clip, write_clip


def moving_square(num_frames: int = 16, side: int = 32) -> np.ndarray:
    video = np.full((num_frames, side, side, 3), [0.1, 0.12, 0.2], np.float32)
    for index in range(num_frames):
        video[index, 8:18, index : index + 10] = [0.9, 0.16, 0.14]
    return video


def tone(seconds: float = 2.0, rate: int = 16_000) -> np.ndarray:
    moments = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * moments)).astype(np.float32)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((one - other) ** 2)))


def test_picture_and_sound_come_back(tmp_path):
    video, audio = moving_square(), tone()
    path = write_clip(tmp_path / "a.mp4", video, audio, fps=8.0, sample_rate=16_000)
    clip = read_clip(path)
    assert clip.notes == ()
    assert clip.video.shape == (48, 512, 512, 3) and clip.fps == 24
    assert clip.audio.shape == (1, 32_000) and clip.sample_rate == 16_000
    back, sound, notes = fit_clip(
        clip,
        num_frames=16,
        height=32,
        width=32,
        fps=8.0,
        num_samples=32_000,
        sample_rate=16_000,
    )
    assert psnr(back, video) > 38
    np.testing.assert_allclose(back[0, 12, 4], [0.9, 0.16, 0.14], atol=0.03)
    noise = sound[1000:-1000] - audio[1000:-1000]
    assert np.mean(noise**2) < 1e-3 * np.mean(audio**2)
    assert notes == ["512x512 scaled to 32x32", "24 fps resampled to 8 fps"]


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_flash_and_click_stay_together(tmp_path, rate):
    """Timestamps are read directly, so that no fault of the reader can hide one."""
    video = np.zeros((16, 32, 32, 3), np.float32)
    video[10] = 1.0
    audio = np.zeros(2 * rate, np.float32)
    audio[round(1.25 * rate) : round(1.25 * rate) + rate // 200] = 0.9
    path = write_clip(tmp_path / "a.mp4", video, audio, fps=8.0, sample_rate=rate)
    with av.open(path) as file:
        frames = list(file.decode(video=0))
    flash = next(f.time for f in frames if f.to_ndarray(format="gray").mean() > 100)
    with av.open(path) as file:
        sounds = list(file.decode(audio=0))
    loud = np.concatenate([np.abs(f.to_ndarray()[0]) for f in sounds])
    heard = float(sounds[0].time) + np.argmax(loud > 0.4) / rate
    assert flash == pytest.approx(1.25)
    assert abs(heard - flash) < 0.005
    assert frames[0].time == 0.0


def test_file_is_what_browsers_play(tmp_path):
    path = write_clip(
        tmp_path / "a.mp4", moving_square(), tone(), fps=8.0, sample_rate=16_000
    )
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(path) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
        assert audio.codec_context.name == "aac"
        assert float(video.average_rate) == 24
        assert float(video.duration * video.time_base) == 2.0
        assert float(audio.duration * audio.time_base) == 2.0


@pytest.mark.parametrize(("fps", "played"), [(5, 25), (24, 24), (16, 32), (30, 30)])
def test_low_rates_are_repeated_whole_times(tmp_path, fps, played):
    video = moving_square(4)
    path = write_clip(tmp_path / "a.mp4", video, tone(0.5), fps=fps, sample_rate=16_000)
    clip = read_clip(path)
    assert clip.fps == pytest.approx(played)
    assert len(clip.video) == 4 * played // fps


def test_odd_sides_stereo_and_unusual_rate(tmp_path):
    video = np.full((8, 33, 51, 3), 0.5, np.float32)
    stereo = np.stack([tone(1, 11_000), np.zeros(11_000, np.float32)])
    path = write_clip(
        tmp_path / "a.mp4", video, stereo, fps=8.0, sample_rate=11_000, scale=1
    )
    clip = read_clip(path)
    assert clip.video.shape[1:] == (34, 52, 3)
    assert (clip.sample_rate, clip.layout) == (48_000, "stereo")
    assert clip.audio.shape == (2, 48_000)
    assert np.abs(clip.audio[0]).max() > 0.4 and np.abs(clip.audio[1]).max() < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": np.zeros((0, 32, 32, 3))}, "video must be"),
        ({"video": np.zeros((2, 32, 32))}, "video must be"),
        ({"video": np.full((2, 8, 8, 3), np.nan)}, "video holds NaN"),
        ({"audio": np.zeros((6, 100))}, "one or two channels"),
        ({"audio": np.zeros(0)}, "audio must be"),
        ({"audio": np.full(100, np.inf)}, "audio holds NaN"),
        ({"fps": 0.0}, "fps must be"),
        ({"sample_rate": 0}, "sample_rate must be"),
        ({"scale": 0}, "scale must be"),
    ],
)
def test_refuses_what_it_cannot_write(tmp_path, unchecked, change, message):
    arguments = {
        "video": np.zeros((2, 8, 8, 3)),
        "audio": np.zeros(4000),
        "fps": 8.0,
        "sample_rate": 16_000,
        "scale": 1,
    }
    with pytest.raises(ValueError, match=message):
        write_clip(tmp_path / "a.mp4", **(arguments | change))
    assert os.listdir(tmp_path) == []


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avits_jax.media.writing._frames", full)
    with pytest.raises(OSError, match="No space left"):
        write_clip(path, moving_square(), tone(), fps=8.0, sample_rate=16_000)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.mp4"]
