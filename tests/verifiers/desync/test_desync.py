"""DeSync: goldens, time axes, and rewards of clips."""

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import with_dtype

from avits_jax.types import Media
from avits_jax.verifiers.desync.config import TINY, SynchformerConfig
from avits_jax.verifiers.desync.params import build
from avits_jax.verifiers.desync.preprocess import (
    constant_rate,
    fit_length,
    frame_segments,
    log_mel,
    to_mono,
)
from avits_jax.verifiers.desync.scores import (
    clip_lengths,
    desync_seconds,
    expected_desync,
    offsets,
    score_clips,
    segment_groups,
)
from avits_jax.verifiers.desync.verifier import desync_pass

CASES = [
    *goldens.golden_cases("verifiers", "synchformer"),
    *goldens.golden_cases("verifiers", "manifest_synchformer"),
    *goldens.golden_cases("verifiers", "pre_desync"),
    *goldens.golden_cases("verifiers", "score_desync"),
]


@pytest.mark.parametrize("golden", CASES)
def test_golden(golden):
    goldens.assert_golden(golden)


def shown_by_ffmpeg(num_frames: int, fps: float) -> list[int]:
    """Frames of a 25 fps copy: the last frame whose nearest slot has come."""
    slots = [int(np.floor(i * 25 / fps + 0.5)) for i in range(num_frames + 1)]
    return [
        max(i for i in range(num_frames) if slots[i] <= time)
        for time in range(max(slots[-1], 1))
    ]


@pytest.mark.parametrize("fps", [8.0, 23.976, 24.0, 25.0, 30.0, 60.0])
@pytest.mark.parametrize("num_frames", [1, 7, 50])
def test_frame_rate_is_made_25(num_frames, fps):
    found = constant_rate(num_frames, fps)
    assert found.tolist() == shown_by_ffmpeg(num_frames, fps)


def test_length_is_cut_or_filled_with_zeros():
    x = jnp.arange(1.0, 7.0).reshape(2, 3)
    np.testing.assert_array_equal(fit_length(x, 2), [[1, 2], [4, 5]])
    np.testing.assert_array_equal(fit_length(x, 4), [[1, 2, 3, 0], [4, 5, 6, 0]])


def test_segments_overlap_by_half():
    frames = jnp.arange(33.0).reshape(1, 33, 1, 1, 1)
    segments = frame_segments(frames, 16)[0, :, :, 0, 0, 0]
    np.testing.assert_array_equal(segments[:, 0], [0, 8, 16])
    np.testing.assert_array_equal(segments[:, -1], [15, 23, 31])


def test_loud_is_above_quiet_in_its_own_band():
    time = np.arange(10_240) / 16_000
    tone = jnp.asarray(0.5 * np.sin(2 * np.pi * 1000 * time), jnp.float32)
    mel = np.asarray(log_mel(tone, 128, 66))
    assert mel.shape == (128, 66)
    loudest = mel[:, :65].mean(1).argmax()
    centre = 2595 * np.log10(1 + 1000 / 700) / (2595 * np.log10(1 + 8000 / 700))
    assert abs(loudest - (centre * 129 - 1)) <= 1
    silence = np.asarray(log_mel(jnp.zeros(10_240), 128, 66))
    assert np.all(silence[:, :65] < mel[:, :65].max())
    np.testing.assert_allclose(silence[:, 65], 4.2677393 / 2 / 4.5689974, rtol=1e-6)


@pytest.mark.parametrize(
    ("frames", "samples", "mode", "want"),
    [
        (100, 64_000, "default", (16 + 10 * 8, 10_240 + 10 * 5120)),
        (5, 3000, "default", (16, 10_240)),
        (30, 64_000, "default", (16 + 10 * 8, 10_240 + 10 * 5120)),
        (100, 64_000, "bench", (200, 128_000)),
        (400, 1, "bench", (200, 128_000)),
    ],
)
def test_clip_lengths(frames, samples, mode, want):
    assert clip_lengths(frames, samples, 16, mode) == want


def test_every_segment_is_in_a_group():
    for count in range(1, 40):
        groups = segment_groups(count, 14)
        assert groups.shape[1] == 14
        assert set(groups.ravel().tolist()) == set(range(count))


def test_offsets_are_symmetric():
    found = offsets(21)
    np.testing.assert_allclose(found, -found[::-1], atol=1e-6)
    assert found[0] == -2 and found[10] == 0


def test_smooth_form_moves_where_the_metric_stands_still():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 21))
    nudged = logits.at[0, 0, 10].add(1e-3)
    assert desync_seconds(nudged)[0] == desync_seconds(logits)[0]
    assert expected_desync(nudged)[0] < expected_desync(logits)[0]
    gradient = jax.grad(lambda x: expected_desync(x).sum())(logits)
    assert np.all(np.abs(gradient).max(-1) > 1e-4)
    cold = expected_desync(logits, temperature=1e-4)
    np.testing.assert_allclose(cold, desync_seconds(logits), atol=1e-3)


def test_channels_are_averaged():
    audio = jnp.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(to_mono(audio), [[1.5, 2.5, 3.5], [7.5, 8.5, 9.5]])
    np.testing.assert_array_equal(to_mono(audio[:, 0]), audio[:, 0])


def test_a_mode_that_it_lacks_is_refused():
    message = "mode of DeSync must be one of default, bench, got 'its'"
    with pytest.raises(ValueError, match=message):
        desync_pass(TINY, fps=8.0, sample_rate=16_000, mode="its")


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_lowers(dtype):
    config = SynchformerConfig()
    graph, like = build(config)
    media = Media(
        jax.ShapeDtypeStruct((2, 102, 240, 426, 3), jnp.float32),
        jax.ShapeDtypeStruct((2, 68_000), jnp.float32),
    )

    def run(params, media):
        model = nnx.merge(graph, params)
        return score_clips(model, media, fps=24.0, sample_rate=16_000, mode="bench")

    def features(params, frames, mel):
        model = nnx.merge(graph, params)
        return model.video_features(frames), model.audio_features(mel)

    params = with_dtype(like, dtype)
    frames = jax.ShapeDtypeStruct((1, 14, 16, 224, 224, 3), jnp.float32)
    mel = jax.ShapeDtypeStruct((1, 14, 128, 66), jnp.float32)
    video, audio = jax.eval_shape(features, params, frames, mel)
    assert video.shape == (1, 14, 8, 768) and video.dtype == dtype
    assert audio.shape == (1, 14, 6, 768) and audio.dtype == dtype
    rewards = jax.eval_shape(run, params, media)
    assert all(x.shape == (2,) and x.dtype == jnp.float32 for x in rewards.values())
