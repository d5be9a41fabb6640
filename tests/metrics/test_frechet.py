"""Distances of feature sets: goldens, identities, errors."""

import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.metrics.frechet import frechet_distance, polynomial_mmd


@pytest.mark.parametrize("golden", golden_cases("verifiers", "score_frechet"))
def test_distances_meet_the_golden(golden):
    assert_golden(golden)


def test_a_set_is_at_no_distance_from_itself_and_a_shift_adds_its_square():
    features = np.random.default_rng(0).normal(size=(50, 6))
    shift = np.arange(6) / 10
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-9)
    moved = frechet_distance(features, features + shift)
    assert moved == pytest.approx(shift @ shift, abs=1e-9)


def test_mmd_is_about_zero_for_one_distribution_and_grows_with_a_shift():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 400, 4))
    assert abs(polynomial_mmd(one, two)) < 0.1
    assert polynomial_mmd(one, two + 1) > 0.5


def test_features_are_left_as_they_are():
    features = np.random.default_rng(0).normal(size=(5, 3))
    before = features.copy()
    frechet_distance(features, features + 1)
    np.testing.assert_array_equal(features, before)


@pytest.mark.parametrize("measure", [frechet_distance, polynomial_mmd])
def test_sets_that_cannot_be_compared_are_refused(measure, unchecked):
    with pytest.raises(ValueError, match="real must be .* at least 2 samples"):
        measure(np.zeros((1, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"as many features as real \(3\), got 2"):
        measure(np.zeros((4, 3)), np.zeros((4, 2)))


def test_features_that_tell_nothing_change_nothing_though_they_outnumber_the_rows():
    real, made = np.random.default_rng(0).normal(size=(2, 9, 4))
    wide = [
        np.pad(rows, ((0, 0), (0, 20)), constant_values=1.0) for rows in (real, made)
    ]
    plain = frechet_distance(real, made + 1)
    assert frechet_distance(wide[0], wide[1] + 1) == pytest.approx(plain + 20, abs=1e-6)


def test_the_distance_of_scaled_axes_is_that_of_their_deviations():
    rows = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3 / 4)
    scaled = rows * [3, 5]
    assert frechet_distance(rows, scaled) == pytest.approx(2**2 + 4**2)
