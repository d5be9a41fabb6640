"""Preprocessing of the ImageBind and CLAP verifiers against its goldens."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.networks.imagebind.config import ImageBindConfig
from avits_jax.nn.fbank import kaldi_fbank, kaldi_filters
from avits_jax.nn.resample import resample
from avits_jax.verifiers.imagebind import frames, scores, sound
from avits_jax.verifiers.timing import clip_starts
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.registry import contents, register
from tools.parity.stored import named, stated_stride

# Tried where a golden does not state the rate that a wave was recorded at.
_RATES = (8000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
MEL_FRAMES = ImageBindConfig().mel_frames


def _audio(wave: np.ndarray) -> np.ndarray:
    """``[channels, samples]`` of a stored wave."""
    return np.atleast_2d(wave).astype(np.float32)


def _starts(stated: dict[str, Any], clip_seconds: float) -> dict[str, Expect]:
    """Start and end times, by duration."""
    results = {}
    for duration, spans in stated.items():
        starts = clip_starts(float(duration), clip_seconds, len(spans))
        ours = [[float(start), float(start + clip_seconds)] for start in starts]
        results[f"clips_{duration}"] = Expect(ours, spans, 1e-12)
    return results


@register("pre_imagebind_audio*", holds=("bench_*", "wave_*", "int16_*"))
def run_audio(golden: Golden) -> dict[str, Expect]:
    """Log-mel pictures of both modes, mono, stereo, short and resampled."""
    arrays, constants = golden.arrays, golden.info["constants"]
    atol = golden.info["tol_float32"]["abs"]
    size = constants["mel"], constants["target_frames"]
    expected = {name: arrays[name] for name in arrays if name.startswith("bench_")}
    results: dict[str, Expect] = {}
    for name, pictures in expected.items():
        wave = jnp.asarray(_audio(arrays[name.replace("bench_", "wave_")]))
        tolerance = atol
        if "resample" in name:
            tolerance = golden.info["tol_float32"]["resample_abs"]
            wave = _resampled(golden, wave, pictures)
        results[name] = Expect(_bench(wave, size, len(pictures)), pictures, tolerance)
    for name in arrays:
        if name.startswith("int16_"):
            picture = sound.its_picture(jnp.asarray(_audio(arrays[name])), *size)
            stored = name.replace("int16_", "its_") + "_clip0"
            results[stored] = Expect(picture[None, None], arrays[stored], atol)
    results |= _tables(arrays, constants, atol)
    return (
        results
        | _starts(golden.info["clip_starts_3"], constants["clip_s"])
        | {
            f"video_{name}": value
            for name, value in _starts(
                golden.info["clip_starts_5_video"], constants["clip_s"]
            ).items()
        }
    )


def _bench(wave, size: tuple[int, int], count: int):
    """Pictures of the benchmark's first ``count`` clips."""
    spans = sound.bench_spans(wave.shape[-1])
    return sound.mel_pictures(wave, spans, *size, in_place=True)[:count, None]


def _resampled(golden: Golden, wave, pictures):
    """The wave at the model's rate, from the rate that is stated or that fits best."""
    constants = golden.info["constants"]
    target, size = constants["sample_rate"], (constants["mel"], pictures.shape[-1])
    entries = (name for name in contents(golden) if "resample" in name)
    stated = [golden.info.get(name, constants.get(name)) for name in entries]
    rates = [rate for rate in stated if isinstance(rate, int)] or _RATES
    waves = [resample(wave, rate, target) for rate in rates if rate != target]
    errors = [abs(_bench(x, size, len(pictures)) - pictures).max() for x in waves]
    return waves[int(np.argmin(errors))]


def _tables(arrays, constants, atol) -> dict[str, Expect]:
    """Filter bank and unnormalised features."""
    rate, mels = constants["sample_rate"], constants["mel"]
    limits = float(constants["low_hz"]), float(constants["high_hz"])
    clips, _ = sound.remove_means(
        jnp.asarray(_audio(arrays["wave_long"])), sound.full_spans(0)[:1]
    )
    raw = kaldi_fbank(
        clips[0][0], sample_rate=rate, num_mels=mels, low=limits[0], high=limits[1]
    )
    banks = kaldi_filters(mels, constants["fft"], rate, *limits)
    table, first = named(arrays, "mel_banks"), named(arrays, "fbank_raw_first")
    return {
        table: Expect(banks.T, arrays[table], 5e-5),
        first: Expect(raw, arrays[first], atol),
    }


@register("pre_imagebind_video*", holds=("video_u8", "its_frame"))
def run_video(golden: Golden) -> dict[str, Expect]:
    """Frames and global clips of both modes."""
    arrays, stated = golden.arrays, golden.info["tol_float32"]
    levels = jnp.asarray(arrays["video_u8"], jnp.float32).transpose(0, 2, 3, 1)
    portrait = jnp.asarray(arrays["portrait_u8"], jnp.float32).transpose(1, 2, 0)
    index, side = golden.info["frame_index"], arrays["its_frame"].shape[-1]
    pairs = frames.its_pairs(len(levels))

    @jax.jit
    def read(levels):
        its = jnp.moveaxis(frames.its_frames(levels, side), -1, 1)
        return its, jnp.moveaxis(frames.global_clips(levels, pairs, side), -1, 1)

    @jax.jit
    def bench(pixels):
        return jnp.moveaxis(frames.bench_frames(pixels, side), -1, 0)

    its, clips = read(levels)
    found = {
        "bench_frame": bench(levels[index]),
        "bench_portrait": bench(portrait),
        "its_frame": its[index],
        "its_all": its,
        "its_global_start_idx": pairs[:, 0],
        "its_global_sub": clips,
        "its_global_clip": clips,
    }
    results = {}
    for start, ours in found.items():
        name = named(arrays, start)
        if one := re.fullmatch(r"its_global_clip(\d+)_frame(\d+)", name):
            ours = clips[int(one[1]), :, int(one[2])]
        step = stated_stride(name)
        ours = ours[..., ::step, ::step] if step > 1 else ours
        atol = stated["bench_abs" if start.startswith("bench") else "abs"]
        results[name] = Expect(ours, arrays[name], atol)
    return results


@register("pre_javis_windows*", holds=("wave", "cases", "video_windows_*"))
def run_windows(golden: Golden) -> dict[str, Expect]:
    """Window ranges of every stated length, and the pictures of two settings."""
    info, arrays = golden.info, golden.arrays
    rate = info.get("sample_rate", sound.SAMPLE_RATE)
    atol = info["tol_float32"]["abs"]
    results = {}
    for number, case in enumerate(info["cases"]):
        video, audio = scores.javis_windows(
            case["n_frames"],
            case["n_samples"],
            case["fps"],
            case.get("sample_rate", rate),
            case["window_s"],
            case["overlap_s"],
        )
        results[f"video_{number}"] = Expect(video, case["video_windows"], 0.0)
        results[f"audio_{number}"] = Expect(len(audio), case["n_audio_clips"], 0.0)
    wave = jnp.asarray(_audio(arrays["wave"]))
    for name, seconds, overlap in (("2s", 2.0, 1.5), ("half_s", 0.5, 0.0)):
        video, audio = scores.javis_windows(
            info["n_frames"], wave.shape[-1], info["fps"], rate, seconds, overlap
        )
        ranges, stored = f"video_windows_{name}", named(arrays, f"mel_{name}")
        results[ranges] = Expect(video, info[ranges], 0.0)
        expected = arrays[stored]
        spans, shape = audio[: len(expected)], expected.shape
        pictures = sound.mel_pictures(wave, spans, shape[-2], MEL_FRAMES, in_place=True)
        results[stored] = Expect(pictures[:, None, :, : shape[-1]], expected, atol)
        if name == "2s":
            after = named(arrays, "wave_after")
            _, left = sound.remove_means(wave, audio, in_place=True)
            results[after] = Expect(left[0], arrays[after], atol)
    return results
