"""AV-Align: golden, motion and onsets of known clips, the overlap by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.verifiers.av_align import flow, onsets, score
from avits_jax.verifiers.av_align.verifier import make
from avits_jax.weights.network import Weights


@pytest.mark.parametrize("golden", golden_cases("verifiers", "score_av_align"))
def test_av_align_meets_the_golden(golden):
    assert_golden(golden)


def _scene(x: float, y: float) -> np.ndarray:
    """A smooth picture moved by ``(x, y)`` pixels."""
    row, column = np.mgrid[:40, :40].astype(np.float32)
    row, column = row - y, column - x
    scene = 60 * np.sin(column / 4) * np.cos(row / 5) + 40 * np.cos(row / 3)
    return (128 + scene).astype(np.float32)


def test_flow_finds_a_known_shift():
    config = flow.FlowConfig(iterations=5)

    @jax.jit
    def between(first, second):
        both = jnp.stack([first, second])
        levels = jax.vmap(lambda gray: flow.pyramid(gray, config))(both)
        one, two = ([level[i] for level in levels] for i in (0, 1))
        return flow.flow_between(one, two, config)

    found = between(jnp.asarray(_scene(0, 0)), jnp.asarray(_scene(1.5, -0.5)))
    inner = np.asarray(found[10:-10, 10:-10]).reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), [1.5, -0.5], atol=0.05)


def test_a_still_clip_hardly_moves_and_its_first_value_is_copied():
    # Not exactly zero: pixels that point at the last row or column count as leaving.
    still = np.repeat(_scene(0, 0)[None], 2, 0)
    moving = np.stack([*still, _scene(1, 0)])
    motion = np.asarray(jax.jit(flow.mean_motion)(moving))
    assert motion[0] == motion[1] < 0.02
    assert motion[2] > 0.5


def test_one_frame_has_no_motion():
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        flow.mean_motion(jnp.zeros((1, 40, 40)))


def test_clicks_are_heard_where_they_are():
    rate, at = 16_000, np.array([0.5, 1.1, 1.6])
    wave = np.zeros(2 * rate, np.float32)
    wave[(at * rate).astype(int)] = 0.9
    strength = jax.jit(lambda wave: onsets.onset_strength(wave, rate))(wave)
    peaks = np.flatnonzero(onsets.pick_peaks(strength, rate))
    times = onsets.onset_times(len(strength), rate)[peaks]
    # At 16 kHz 30 ms are less than a hop: neighbouring frames may all be peaks.
    distance = np.abs(times[:, None] - at)
    assert distance.min(0).max() < 0.05
    assert distance.min(1).max() < 0.1


def test_silence_has_no_onset():
    strength = onsets.onset_strength(jnp.zeros(16_000), 16_000)
    assert not onsets.pick_peaks(strength, 16_000).any()


def test_peaks_wait_for_each_other():
    # At 48 kHz 30 ms are two frames of 512 samples.
    curve = jnp.zeros(60).at[jnp.asarray([20, 23, 30])].set(jnp.asarray([0.9, 0.9, 1]))
    assert np.flatnonzero(onsets.pick_peaks(curve, 48_000)).tolist() == [20, 23, 30]
    close = jnp.zeros(60).at[jnp.asarray([20, 22])].set(jnp.asarray([0.9, 1.0]))
    assert np.flatnonzero(onsets.pick_peaks(close, 48_000)).tolist() == [20]


def test_only_strict_maxima_count():
    motion = jnp.asarray([3.0, 1.0, 2.0, 1.0, 5.0, 5.0, 1.0, 4.0])
    assert np.flatnonzero(score.motion_peaks(motion)).tolist() == [2]


@pytest.mark.parametrize(
    ("heard", "seen", "expected"),
    [
        ([1.0], [1.05], 1.0),
        ([1.0], [1.1], 0.0),
        ([1.0, 1.02], [1.01], 2 / 1),
        ([1.0, 2.0], [1.0, 3.0], 1 / 3),
        ([], [], 0.0),
        ([], [1.0], 0.0),
    ],
)
def test_overlap_by_hand(heard, seen, expected):
    times = np.round(np.arange(400) * 0.01, 2)

    def mask(at):
        return jnp.asarray(np.isin(times, at))

    found = score.overlap(mask(heard), mask(seen), times, times, 0.1 - 1e-9)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_grey_levels_are_whole_and_weighted():
    video = jnp.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert score.grey_levels(video).tolist() == [76, 150, 255]


def test_there_is_one_mode():
    clip = {"fps": 24.0, "sample_rate": 16_000, "candidate_batch": None}
    with pytest.raises(ValueError, match="AV-Align must be one of default, got 'its'"):
        make(["av_align"], None, Weights(None), mode="its", **clip)
