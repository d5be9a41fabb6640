"""KL, inception score, FD and KID: goldens, identities, errors."""

import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.metrics.divergence import (
    inception_score,
    sigmoid_divergence,
    softmax_divergence,
)
from avits_jax.metrics.frechet import (
    NO_DISTANCE,
    centred_polynomial_mmd,
    frechet_distance,
    frechet_distance_of_product,
    kernel_distance,
    polynomial_mmd,
)


@pytest.mark.parametrize("golden", golden_cases("benchmarks", "score_av_bench"))
def test_formulas_meet_the_golden(golden):
    assert_golden(golden)


def test_both_roots_give_one_distance_where_sets_have_rows_enough():
    real, made = np.random.default_rng(0).normal(size=(2, 60, 5))
    product = frechet_distance_of_product(real, made + 1)
    assert product == pytest.approx(frechet_distance(real, made + 1), abs=1e-9)
    assert frechet_distance_of_product(real, real) == pytest.approx(0, abs=1e-6)


def test_a_root_that_is_not_real_is_no_distance(monkeypatch):
    import scipy.linalg

    features = np.random.default_rng(0).normal(size=(6, 3))
    monkeypatch.setattr(scipy.linalg, "sqrtm", lambda product: product * 1j)
    assert frechet_distance_of_product(features, features) == NO_DISTANCE


def test_a_root_that_is_not_finite_is_tried_again_of_larger_covariances(monkeypatch):
    import scipy.linalg

    features, tried = np.random.default_rng(0).normal(size=(6, 3)), []

    def root(product):
        tried.append(product)
        return np.full((3, 3), np.nan) if len(tried) == 1 else np.eye(3)

    monkeypatch.setattr(scipy.linalg, "sqrtm", root)
    spread = 2 * np.trace(np.cov(features, rowvar=False)) - 2 * 3
    assert frechet_distance_of_product(features, features) == pytest.approx(spread)
    ridge = np.cov(features, rowvar=False) + 1e-6 * np.eye(3)
    np.testing.assert_allclose(tried[1], ridge @ ridge)


def test_a_constant_feature_leaves_the_product_singular_and_the_distance_finite():
    rng = np.random.default_rng(0)
    real, made = (np.pad(rng.normal(size=(9, 2)), ((0, 0), (0, 2))) for _ in range(2))
    assert np.isfinite(frechet_distance_of_product(real, made))


def test_the_centred_mmd_is_blind_to_a_shift_and_the_plain_one_is_not():
    real, made = np.random.default_rng(0).normal(size=(2, 40, 4))
    still, moved = (centred_polynomial_mmd(real, made + shift) for shift in (0, 3))
    assert still == pytest.approx(moved, abs=1e-12)
    assert polynomial_mmd(real, made + 3) > 10 * abs(still)


def test_kid_of_whole_sets_is_the_mmd_without_spread():
    real, made = np.random.default_rng(0).normal(size=(2, 12, 4))
    mean, spread = kernel_distance(real, made, subsets=3)
    assert mean == pytest.approx(polynomial_mmd(real, made), abs=1e-12)
    assert spread == pytest.approx(0, abs=1e-12)


def test_divergence_is_of_the_real_clip_from_the_generated_one():
    real, made = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert softmax_divergence(real, made) == pytest.approx([expected])
    assert softmax_divergence(made, real) != pytest.approx([expected])
    assert sigmoid_divergence(real, real) == pytest.approx([0.0])


def test_inception_score_is_one_without_information_and_counts_sure_classes():
    assert inception_score(np.zeros((20, 4)))[0] == pytest.approx(1.0)
    sure = 1e3 * np.eye(2)[np.arange(400) % 2]
    mean, spread = inception_score(sure)
    assert mean == pytest.approx(2.0, abs=0.05)
    assert spread < 0.1


def test_fewer_clips_than_splits_have_no_inception_score():
    assert np.isnan(inception_score(np.zeros((9, 4)))).all()


def test_logits_that_do_not_pair_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"shape of real, \(3, 2\), got \(4, 2\)"):
        softmax_divergence(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="logits must be .clips, classes."):
        inception_score(np.zeros(3))
