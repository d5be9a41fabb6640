"""Classifier-free guidance over trees."""

import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.sampling import classifier_free_guidance

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
