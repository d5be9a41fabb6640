"""Preprocessing of the ImageBind and CLAP verifiers against its goldens."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.nn.fbank import kaldi_fbank, kaldi_filters
from avits_jax.nn.resample import resample
from avits_jax.verifiers.imagebind import frames, scores, sound
from avits_jax.verifiers.imagebind.config import ImageBindConfig
from avits_jax.verifiers.timing import clip_starts
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.registry import register

# The file states no source rate; its length and values fit this one.
_RESAMPLED_FROM = 22_050
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


@register("pre_imagebind_audio*")
def run_audio(golden: Golden) -> dict[str, Expect]:
    """Log-mel pictures of both modes, mono, stereo, short and resampled."""
    arrays, constants = golden.arrays, golden.info["constants"]
    atol = golden.info["tol_float32"]["abs"]
    size = constants["mel"], constants["target_frames"]
    expected = {name: arrays[name] for name in arrays if name.startswith("bench_")}
    results: dict[str, Expect] = {}
    for name, pictures in expected.items():
        wave = jnp.asarray(_audio(arrays[name.replace("bench_", "wave_")]))
        if name == "bench_resample":
            wave = resample(wave, _RESAMPLED_FROM, constants["sample_rate"])
        spans = sound.bench_spans(wave.shape[-1])
        ours = sound.mel_pictures(wave, spans, *size, in_place=True)
        ours = ours[: len(pictures), None]
        stated = golden.info["tol_float32"]["resample_abs"]
        tolerance = stated if name == "bench_resample" else atol
        results[name] = Expect(ours, pictures, tolerance)
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
    return {
        "mel_banks": Expect(banks.T, arrays["mel_banks_128x256"], 5e-5),
        "fbank_raw_first2s": Expect(raw, arrays["fbank_raw_first2s"], atol),
    }


@register("pre_imagebind_video*")
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

    return {
        "bench_frame": Expect(
            bench(levels[index]), arrays["bench_frame"], stated["bench_abs"]
        ),
        "bench_portrait": Expect(
            bench(portrait)[:, ::4, ::4],
            arrays["bench_portrait_sub4"],
            stated["bench_abs"],
        ),
        "its_frame": Expect(its[index], arrays["its_frame"], stated["abs"]),
        "its_all": Expect(its[..., ::16, ::16], arrays["its_all_sub16"], stated["abs"]),
        "its_global": Expect(
            clips[..., ::8, ::8], arrays["its_global_sub8"], stated["abs"]
        ),
        "its_global_clip7_frame1": Expect(
            clips[7, :, 1], arrays["its_global_clip7_frame1"], stated["abs"]
        ),
        "its_global_start_idx": Expect(
            pairs[:, 0], arrays["its_global_start_idx"], 0.0
        ),
    }


@register("pre_javis_windows*")
def run_windows(golden: Golden) -> dict[str, Expect]:
    """Window ranges of every stated length, and the pictures of two settings."""
    info, arrays = golden.info, golden.arrays
    rate, atol = sound.SAMPLE_RATE, golden.info["tol_float32"]["abs"]
    results = {}
    for number, case in enumerate(info["cases"]):
        video, audio = scores.javis_windows(
            case["n_frames"],
            case["n_samples"],
            case["fps"],
            rate,
            case["window_s"],
            case["overlap_s"],
        )
        results[f"video_{number}"] = Expect(video, case["video_windows"], 0.0)
        results[f"audio_{number}"] = Expect(len(audio), case["n_audio_clips"], 0.0)
    wave = jnp.asarray(_audio(arrays["wave"]))
    for name, stored, after, seconds, overlap in (
        ("2s", "mel_2s_windows", "wave_after_inplace_mean_removal", 2.0, 1.5),
        ("half_s", "mel_half_s_first3_sub", None, 0.5, 0.0),
    ):
        video, audio = scores.javis_windows(
            info["n_frames"], wave.shape[-1], info["fps"], rate, seconds, overlap
        )
        results[f"video_windows_{name}"] = Expect(
            video, info[f"video_windows_{name}"], 0.0
        )
        expected = arrays[stored]
        spans, shape = audio[: len(expected)], expected.shape
        pictures = sound.mel_pictures(wave, spans, shape[-2], MEL_FRAMES, in_place=True)
        results[stored] = Expect(pictures[:, None, :, : shape[-1]], expected, atol)
        if after:
            _, left = sound.remove_means(wave, audio, in_place=True)
            results[after] = Expect(left[0], arrays[after], atol)
    return results
