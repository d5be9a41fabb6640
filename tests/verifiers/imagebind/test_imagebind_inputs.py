"""What ImageBind sees and hears: goldens, ranges of clips, modes side by side."""

import jax.numpy as jnp
import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.verifiers.imagebind import frames, sound


@pytest.mark.parametrize(
    "golden",
    golden_cases("verifiers", "pre_imagebind") + golden_cases("verifiers", "pre_javis"),
)
def test_inputs_meet_the_golden(golden):
    assert_golden(golden)


def test_full_spans_reach_the_end_and_bench_spans_do_not():
    assert sound.full_spans(64_000)[-1] == (32_000, 64_000)
    assert sound.bench_spans(64_000)[-1][1] == 53_333


@pytest.mark.parametrize("samples", [8_000, 32_000, 40_001])
def test_pictures_have_one_size_whatever_the_length(samples):
    audio = jnp.asarray(np.random.default_rng(0).normal(size=(2, 1, samples)) * 0.1)
    pictures = sound.mel_pictures(audio, sound.full_spans(samples), 128, 204)
    assert pictures.shape == (2, 3, 128, 204)
    np.testing.assert_allclose(pictures[..., 198:], 4.268 / 9.138, atol=1e-6)


def test_copies_do_not_hear_the_shift_of_earlier_clips():
    wave = 0.05 + 0.1 * np.sin(np.arange(48_000) / 20)[None]
    spans = ((0, 32_000), (16_000, 48_000))
    copies, untouched = sound.remove_means(jnp.asarray(wave), spans)
    alone, _ = sound.remove_means(jnp.asarray(wave), spans[1:])
    shifted, _ = sound.remove_means(jnp.asarray(wave), spans, in_place=True)
    np.testing.assert_array_equal(copies[1], alone[0])
    np.testing.assert_array_equal(untouched, jnp.asarray(wave))
    assert np.abs(shifted[1] - copies[1]).max() > 0.01


def test_only_the_first_channel_is_heard():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 1, 32_000)) * 0.1
    right = right - right.mean() + left.mean()
    both = jnp.asarray(np.concatenate([left, right]))
    spans = ((0, 32_000),)
    stereo = sound.mel_pictures(both, spans, 128, 204)
    mono = sound.mel_pictures(both[:1], spans, 128, 204)
    np.testing.assert_allclose(stereo, mono, atol=1e-2)


def test_default_keeps_the_aspect_and_its_squashes_it():
    disc = (np.hypot(*np.mgrid[-30:30, -50:50]) < 20).astype(np.float32)
    video = jnp.asarray(np.repeat(disc[None, :, :, None], 3, -1))
    extent = {}
    for name, pixels in (
        ("default", frames.default_frames(video, 56)),
        ("its", frames.its_frames(255 * video, 56)),
    ):
        bright = np.asarray(pixels[0, :, :, 0]) > 0
        extent[name] = bright.any(1).sum() / bright.any(0).sum()
    assert extent["default"] == pytest.approx(1.0, abs=0.06)
    assert extent["its"] == pytest.approx(100 / 60, abs=0.1)


def test_bench_differs_from_default_by_rounding_only():
    row, column, colour = np.mgrid[:70, :90, :3]
    levels = np.round(128 + 100 * np.sin(row / 9 + colour) * np.cos(column / 7))
    bench = frames.bench_frames(jnp.asarray(levels, jnp.float32), 56)
    default = frames.default_frames(jnp.asarray(levels / 255, jnp.float32), 56)
    assert np.abs(bench - default).max() < 2 / 255 / 0.26


def test_pairs_of_frames():
    np.testing.assert_array_equal(frames.its_pairs(9)[:, 0], [0, 1, 3, 5, 7])
    pairs = frames.bench_pairs(102, 24.0)
    np.testing.assert_array_equal(pairs[0], [0, 47])
    assert (np.diff(pairs, axis=1) >= 47).all()
    assert (frames.bench_pairs(30, 24.0) == [0, 29]).all()
    assert not frames.its_pairs(1).any() and not frames.bench_pairs(1, 24.0).any()
    assert frames.bench_pairs(3, 0.3).max() == 2


def test_fewer_frames_are_spread_over_the_clip():
    np.testing.assert_array_equal(frames.still_frames(12, 24.0, 8.0), [0, 3, 6, 9])
    assert frames.still_frames(102, 24.0, 10.0).max() < 102
    assert len(frames.still_frames(102, 23.976, 23.976)) == 102
    with pytest.raises(ValueError, match="frame_rate must be positive, got 0"):
        frames.still_frames(12, 24.0, 0.0)


def test_global_clips_of_a_tall_video_move_down():
    levels = jnp.broadcast_to(jnp.arange(80.0)[:, None, None], (1, 4, 80, 40, 3))
    clips = frames.global_clips(levels, frames.its_pairs(4), 40)
    assert clips.shape == (1, 15, 2, 40, 40, 3)
    top, middle, bottom = (float(clips[0, crop, 0, 0, 0, 0]) for crop in range(3))
    assert top < middle < bottom
