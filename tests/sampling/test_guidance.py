"""Guidance over trees: one branch or several, rows of branches, rescale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.sampling import (
    classifier_free_guidance,
    combine,
    join_branches,
    repeat_rows,
    split_branches,
)

pytestmark = pytest.mark.usefixtures("strict_core")

WITH = {"video": jnp.asarray([[1.0, 2.0]]), "audio": jnp.asarray([[3.0]])}
WITHOUT = {"video": jnp.asarray([[0.0, 4.0]]), "audio": jnp.asarray([[1.0]])}


def test_one_scale_for_all():
    guided = classifier_free_guidance(WITH, WITHOUT, 3.0)
    np.testing.assert_allclose(guided["video"], [[3.0, -2.0]])
    np.testing.assert_allclose(guided["audio"], [[7.0]])


def test_one_scale_per_modality():
    guided = classifier_free_guidance(WITH, WITHOUT, {"video": 1.0, "audio": 0.0})
    np.testing.assert_allclose(guided["video"], WITH["video"])
    np.testing.assert_allclose(guided["audio"], WITHOUT["audio"])


def test_structures_must_match():
    with pytest.raises(ValueError):
        classifier_free_guidance(WITH, {"video": WITHOUT["video"]}, 2.0)


def _branches():
    rng = np.random.default_rng(0)
    return [
        {"video": rng.normal(size=(3, 4, 2)), "audio": rng.normal(size=(3, 5))}
        for _ in range(3)
    ]


def _arrays(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def test_rows_of_a_candidate_are_neighbours():
    rows = repeat_rows({"x": jnp.asarray([[1.0], [2.0]])}, 3)["x"]
    np.testing.assert_array_equal(rows[:, 0], [1, 1, 1, 2, 2, 2])
    joined = join_branches(jnp.asarray([1, 2]), jnp.asarray([10, 20]))
    np.testing.assert_array_equal(joined, [1, 10, 2, 20])


def test_joined_branches_split_again():
    branches = _arrays(_branches())
    split = split_branches(join_branches(*branches), 3)
    jax.tree.map(np.testing.assert_array_equal, split, tuple(branches))
    with pytest.raises(ValueError, match="multiple of num_branches = 2, got 9"):
        split_branches(join_branches(*branches), 2)


def test_one_branch_is_classifier_free_guidance():
    conditional, without, _ = _arrays(_branches())
    for scale in (7.0, 1.2, 0.0):
        guided = combine(conditional, (without,), (scale - 1,))
        expected = classifier_free_guidance(conditional, without, scale)
        jax.tree.map(np.testing.assert_array_equal, guided, expected)


@pytest.mark.parametrize("phi", [0.0, 0.7, {"video": 0.7, "audio": 0.0}])
def test_branches_with_scales_per_leaf_and_rescale(phi):
    """Against the formula, candidate by candidate, in NumPy."""
    conditional, *others = _branches()
    scales = ({"video": 2.0, "audio": 0.5}, 1.5)
    found = combine(
        _arrays(conditional), tuple(map(_arrays, others)), scales, rescale=phi
    )
    for name, c in conditional.items():
        first, second = (branch[name] for branch in others)
        guided = c + scales[0][name] * (c - first) + scales[1] * (c - second)
        share = phi[name] if isinstance(phi, dict) else phi
        for n in range(3):
            factor = c[n].std() / guided[n].std()
            expected = guided[n] * (share * factor + 1 - share)
            np.testing.assert_allclose(found[name][n], expected, rtol=2e-5, atol=1e-6)


def test_rescale_leaves_a_constant_row_alone():
    guided = combine(jnp.ones((1, 3)), (jnp.zeros((1, 3)),), (1.0,), rescale=0.5)
    np.testing.assert_allclose(guided, 2 * np.ones((1, 3)))


def test_every_branch_has_a_scale():
    with pytest.raises(ValueError, match=r"one entry per branch \(1\), got 2"):
        combine(WITH, (WITHOUT,), (1.0, 2.0))
