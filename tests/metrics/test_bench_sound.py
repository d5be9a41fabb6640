"""Sound files as JavisBench reads them: kinds of files, channels, lengths, faults."""

import sys
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.metrics.bench_sound import mixed_down, read_bench_sound


def write_sound(path, samples, rate, codec, layout):
    """Encode samples in [-1, 1], [C, S]."""
    with av.open(path, "w") as file:
        stream = file.add_stream(codec, rate, layout=layout)
        name = stream.codec_context.format.name
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32), "fltp", layout
        )
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        resampler = av.AudioResampler(name, layout, rate, stream.frame_size or None)
        for each in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(each))
        file.mux(stream.encode(None))
    return path


def tones(rate, seconds, *hertz):
    """One tone per channel, [C, S]."""
    time = np.arange(int(rate * seconds)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * each * time) for each in hertz])


@pytest.mark.parametrize("golden", golden_cases("benchmarks", "pre_bench_audio"))
def test_sound_golden(golden):
    assert_golden(golden)


@pytest.mark.parametrize(
    ("codec", "step"),
    [
        ("pcm_u8", 2**-7),
        ("pcm_s16le", 2**-15),
        ("pcm_s24le", 2**-23),
        ("pcm_s32le", 2**-23),
        ("pcm_f32le", 1e-7),
        ("pcm_f64le", 1e-7),
    ],
)
def test_samples_of_any_depth_are_in_one_range(tmp_path, codec, step):
    samples = tones(16_000, 0.25, 440, 700)
    path = write_sound(tmp_path / "a.wav", samples, 16_000, codec, "stereo")
    sound = read_bench_sound(path, 16_000)
    assert sound.shape == (4000,) and sound.dtype == np.float32
    np.testing.assert_allclose(sound, samples.mean(0), atol=1.01 * step)


def test_compressed_sound_is_mixed_down(tmp_path):
    samples = tones(16_000, 1.0, 440, 700)
    path = write_sound(tmp_path / "a.flac", samples, 16_000, "flac", "stereo")
    np.testing.assert_allclose(
        read_bench_sound(path, 16_000), samples.mean(0), atol=1e-4
    )
    path = write_sound(tmp_path / "a.mp3", samples, 16_000, "libmp3lame", "stereo")
    spectrum = np.abs(np.fft.rfft(read_bench_sound(path, 16_000, 1.0)))
    assert sorted(np.argsort(spectrum)[-2:]) == [440, 700]


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_of_other_files_the_first_channel_counts(tmp_path, rate):
    samples = tones(rate, 1.0, 440, 700)
    path = write_sound(tmp_path / "a.mkv", samples, rate, "pcm_s16le", "stereo")
    sound = read_bench_sound(path, 16_000, 1.0)
    np.testing.assert_allclose(
        sound[500:-500], tones(16_000, 1, 440)[0, 500:-500], atol=1e-3
    )


def test_files_are_cut_or_filled_up(tmp_path):
    samples = tones(24_000, 3.0, 440)
    path = write_sound(tmp_path / "a.wav", samples, 24_000, "pcm_s16le", "mono")
    whole = read_bench_sound(path, 16_000)
    assert whole.shape == (48_000,)
    # The whole file is resampled before it is cut, so the end hears what follows.
    np.testing.assert_allclose(read_bench_sound(path, 16_000, 1.5), whole[:24_000])
    longer = read_bench_sound(path, 16_000, 4.0)
    assert longer.shape == (64_000,) and not longer[48_000:].any()
    np.testing.assert_array_equal(longer[:48_000], whole)


def test_resampled_lengths_are_rounded_up():
    assert mixed_down(np.zeros((1, 1001), np.float32), 24_000, 16_000).shape == (668,)
    assert mixed_down(np.zeros((2, 11), np.float32), 16_000, 48_000).shape == (33,)


def test_without_soxr_other_rates_are_refused(tmp_path, monkeypatch):
    path = write_sound(
        tmp_path / "a.wav", tones(8000, 1, 440), 8000, "pcm_s16le", "mono"
    )
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ValueError, match=r"a.wav is of 8000 Hz.*avits_jax\[bench\]"):
        read_bench_sound(path, 16_000)
    assert read_bench_sound(path, 8000).shape == (8000,)


def test_bad_files_and_arguments_are_refused(tmp_path):
    good = write_sound(
        tmp_path / "a.wav", tones(8000, 1, 440), 8000, "pcm_s16le", "mono"
    )
    text = tmp_path / "text.wav"
    text.write_text("no sound at all")
    picture = tmp_path / "mute.mp4"
    with av.open(picture, "w") as file:
        stream = file.add_stream("mpeg4", 8)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    empty = tmp_path / "e.wav"
    with wave.open(str(empty), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
    for path, rate, seconds, message in (
        (tmp_path / "none.wav", 8000, None, "none.wav does not exist"),
        (tmp_path, 8000, None, "is a folder"),
        (text, 8000, None, "text.wav cannot be read"),
        (picture, 8000, None, "mute.mp4 has no sound track"),
        (empty, 8000, None, "e.wav has no sound that can be decoded"),
        (good, 0, None, "sample_rate must be at least 1, got 0"),
        (good, 8000, 0.0, "seconds must be above 0, got 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            read_bench_sound(path, rate, seconds)
