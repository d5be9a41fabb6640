"""The search server's reading of clips: golden and its guesses."""

import jax.numpy as jnp
import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.verifiers.its import its_levels, its_samples


@pytest.mark.parametrize("golden", golden_cases("verifiers", "score_its"))
def test_conversion_and_combination_meet_the_golden(golden):
    assert_golden(golden)


def test_the_range_of_each_clip_is_guessed_on_its_own():
    plain = np.full((1, 2, 2, 3), 0.5, np.float32)
    signed = plain.copy()
    signed[0, 0, 0, 0] = -0.1
    bright = plain.copy()
    bright[0, 0, 0, 0] = 1.2
    levels = its_levels(jnp.asarray(np.stack([plain, signed, bright])))
    assert levels[:, 0, 1, 1, 0].tolist() == [127, 191, 191]


def test_a_peak_above_one_silences_its_clip_alone():
    quiet = np.array([[0.5, -0.25]], np.float32)
    loud = np.array([[1.01, -0.25]], np.float32)
    samples = its_samples(jnp.asarray(np.stack([quiet, loud])))
    assert samples.tolist() == [[[16383, -8191]], [[1, 0]]]
