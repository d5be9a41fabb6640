"""Sizes, rates and lengths that a verifier needs, and the notes about them."""

import numpy as np
import pytest

from avits_jax.media import Clip, fit_clip
from avits_jax.media.resampling import mix_to_mono, resample_audio, resize

WANTED = {
    "num_frames": 16,
    "height": 32,
    "width": 32,
    "fps": 8.0,
    "num_samples": 32_000,
    "sample_rate": 16_000,
}


def make_clip(seconds, side, fps, rate, channels=1, layout=""):
    video = np.zeros((round(seconds * fps), *side, 3), np.uint8)
    video[..., 0] = np.arange(len(video))[:, None, None]
    audio = np.full((channels, round(seconds * rate)), 0.25, np.float32)
    return Clip(video, audio, fps, rate, (), layout)


def test_nothing_to_change():
    clip = make_clip(2, (32, 32), 8.0, 16_000)
    video, audio, notes = fit_clip(clip, **WANTED)
    np.testing.assert_allclose(video, clip.video / 255.0, atol=1e-6)
    np.testing.assert_array_equal(audio, clip.audio[0])
    assert notes == []
    assert video.dtype == audio.dtype == np.float32


def test_everything_changes_and_is_said():
    clip = make_clip(5.3, (72, 128), 30.0, 48_000, 2, "stereo")
    video, audio, notes = fit_clip(clip._replace(notes=("turned",)), **WANTED)
    assert video.shape == (16, 32, 32, 3) and audio.shape == (32_000,)
    assert notes == [
        "turned",
        "128x72 scaled and cropped to 32x32",
        "5.3 s cut to 2.0 s",
        "30 fps resampled to 8 fps",
        "stereo sound mixed down to mono",
        "sound resampled from 48000 Hz to 16000 Hz",
    ]
    nearest = np.ceil(np.arange(16) * 30 / 8 - 0.5)
    np.testing.assert_allclose(video[:, 5, 5, 0] * 255, nearest, atol=1e-3)


def test_short_clip_is_held_over_silence():
    clip = make_clip(1.0, (32, 32), 8.0, 16_000)
    video, audio, notes = fit_clip(clip, **WANTED)
    assert (video[8:] == video[7]).all()
    assert (audio[16_000:] == 0).all() and (audio[:16_000] == 0.25).all()
    assert notes == ["1.0 s extended to 2.0 s: the last picture is held over silence"]


def test_one_frame():
    clip = make_clip(0.125, (32, 32), 8.0, 16_000)
    video, _, _ = fit_clip(clip, **WANTED)
    assert video.shape[0] == 16 and (video == video[0]).all()


def test_slower_clip_repeats_the_nearest_picture():
    video, _, _ = fit_clip(make_clip(2, (32, 32), 4.0, 16_000), **WANTED)
    shown = np.rint(video[:, 0, 0, 0] * 255).astype(int)
    assert shown.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]


@pytest.mark.parametrize("name", list(WANTED))
def test_refuses_nothing(name):
    clip = make_clip(2, (32, 32), 8.0, 16_000)
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        fit_clip(clip, **(WANTED | {name: 0}))


def test_shrinking_averages_and_cannot_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    np.testing.assert_allclose(resize(stripes, 16, 16), 0.5, atol=1e-6)


def test_cropping_keeps_centre_and_aspect():
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[:, 30:60] = 255
    np.testing.assert_allclose(resize(wide, 10, 10), 1.0, atol=1e-6)
    ramp = np.tile(np.arange(50, dtype=np.uint8)[:, None, None], (1, 35, 3))
    np.testing.assert_allclose(resize(ramp, 20, 20).mean() * 255, 24.5, atol=1e-3)


def test_enlarging_interpolates():
    small = np.zeros((2, 2, 3), np.uint8)
    small[:, 1] = 200
    large = resize(small, 4, 4)[0, :, 0] * 255
    np.testing.assert_allclose(large, [0, 50, 150, 200], atol=1e-3)


def test_mono_mix():
    stereo = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)
    np.testing.assert_allclose(mix_to_mono(stereo, "stereo"), [1.0, 0.5], atol=1e-6)
    surround = np.zeros((6, 4), np.float32)
    surround[3] = 1.0  # low-frequency channel
    np.testing.assert_array_equal(mix_to_mono(surround, "5.1"), 0)
    np.testing.assert_allclose(mix_to_mono(np.ones((6, 4)), "5.1"), 1, atol=1e-6)
    np.testing.assert_allclose(mix_to_mono(surround, ""), 1 / 6, atol=1e-6)


@pytest.mark.parametrize(("rate", "new_rate"), [(48_000, 16_000), (44_100, 16_000)])
def test_resampling_keeps_time_and_removes_aliases(rate, new_rate):
    moments = np.arange(rate) / rate
    low = np.sin(2 * np.pi * 1000 * moments)
    alias = np.sin(2 * np.pi * 11_000 * moments)  # above the new Nyquist rate
    out = resample_audio((low + alias)[None].astype(np.float32), rate, new_rate)[0]
    expected = np.sin(2 * np.pi * 1000 * np.arange(new_rate) / new_rate)
    assert out.shape == (new_rate,)
    inner = slice(500, -500)
    assert np.sqrt(np.mean((out - expected)[inner] ** 2)) < 0.01
