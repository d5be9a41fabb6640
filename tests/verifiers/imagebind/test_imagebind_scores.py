"""Scores of given embeddings: goldens, brute force, failures, windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import assert_golden, golden_cases
from hypothesis import given, settings
from hypothesis import strategies as st

from avits_jax.verifiers.imagebind import scores


@pytest.mark.parametrize("golden", golden_cases("verifiers", "score_embed"))
def test_scores_meet_the_golden(golden):
    assert_golden(golden)


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    frames = jnp.asarray(rng.normal(size=(3, 20, 8)), jnp.float32)
    return frames, jnp.asarray(rng.normal(size=(3, 3, 8)), jnp.float32)


WINDOWS = ((0, 10), (5, 15), (10, 20))


def test_javis_score_equals_plain_loops(embeddings):
    frames, audio = np.asarray(embeddings[0]), np.asarray(embeddings[1])
    expected = []
    for clip, sounds in zip(frames, audio, strict=True):
        means = []
        for (start, stop), sound in zip(WINDOWS, sounds, strict=True):
            cosines = [
                f @ sound / np.linalg.norm(f) / np.linalg.norm(sound)
                for f in clip[start:stop]
            ]
            means.append(np.mean(sorted(cosines)[:4]))
        expected.append(np.mean(means))
    actual = scores.javis_score(*embeddings, WINDOWS, 0.4)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_javis_score_is_the_same_under_vmap_and_jit(embeddings):
    whole = scores.javis_score(*embeddings, WINDOWS)

    def one(frames, audio):
        return scores.javis_score(frames, audio, WINDOWS)

    np.testing.assert_allclose(jax.jit(jax.vmap(one))(*embeddings), whole, atol=1e-6)


def test_a_nan_frame_fails_its_clip_alone(embeddings):
    frames, audio = embeddings
    result = scores.javis_score(frames.at[1, 3, 0].set(jnp.nan), audio, WINDOWS)
    assert np.isnan(result).tolist() == [False, True, False]


@pytest.mark.parametrize("lowest", [0.0, 0.05, 0, 11])
def test_a_useless_share_is_refused(embeddings, lowest):
    with pytest.raises(ValueError, match="lowest must leave 1 to 10 frames"):
        scores.javis_score(*embeddings, WINDOWS, lowest)


def test_windows_and_sounds_must_pair(embeddings):
    with pytest.raises(ValueError, match=r"one embedding per window \(2\), got 3"):
        scores.javis_score(*embeddings, WINDOWS[:2])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 60), st.data())
def test_windows_cover_everything_once_in_order(length, window, data):
    overlap = data.draw(st.integers(0, window - 1))
    windows = scores.sliding_windows(length, window, overlap)
    assert windows[0][0] == 0 and windows[-1][1] == length
    assert {stop - start for start, stop in windows} == {min(window, length)}
    starts = [start for start, _ in windows]
    assert starts == sorted(set(starts))
    assert all(b <= a + window for a, b in zip(starts, starts[1:], strict=False))


def test_windows_that_stand_still_are_refused():
    with pytest.raises(ValueError, match="overlap .* less than window 4, got 4"):
        scores.sliding_windows(10, 4, 4)


def test_a_short_clip_has_one_window_of_all():
    video, audio = scores.javis_windows(30, 64_000, 24.0, 16_000)
    assert video == ((0, 30),) and audio == ((0, 64_000),)
