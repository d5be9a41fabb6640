"""FVD's network: the published key list, shapes at full size, preprocessing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, random_network

from avits_jax.metrics.i3d import modeling
from avits_jax.metrics.i3d import params as names


@pytest.mark.parametrize("golden", golden_cases("verifiers", "manifest_i3d"))
def test_every_published_key_is_placed(golden):
    assert_golden(golden)


@pytest.mark.parametrize(("frames", "rows"), [(16, 1), (17, 2), (102, 12)])
def test_full_size_lowers_and_counts_its_rows(frames, rows):
    graph, params = names.build()
    video = jax.ShapeDtypeStruct((2, frames, 224, 224, 3), jnp.float32)
    out = jax.eval_shape(lambda p, x: nnx.merge(graph, p)(x), params, video)
    assert out.shape == (2, rows, modeling.NUM_CLASSES)


def test_too_few_frames_are_refused():
    graph, params = names.build()
    with pytest.raises(ValueError, match="at least 9 frames, got 8"):
        nnx.merge(graph, params)(jnp.zeros((1, 8, 224, 224, 3)))


def test_a_unit_pads_as_tensorflow_does():
    graph, params = random_network(lambda rngs: modeling.Unit(1, 1, 3, 2, rngs=rngs))
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    params["norm"] = {"mean": zero, "variance": one, "scale": one, "bias": zero}
    kernel = np.zeros((3, 3, 3, 1, 1), np.float32)
    kernel[0, 0, 0] = 1.0
    params["conv"] = {"kernel": kernel}
    line = np.arange(1.0, 65.0, dtype=np.float32).reshape(1, 4, 4, 4, 1)
    out = jitted(graph, lambda unit, x: unit(x))(params, line)[0, ..., 0]
    # An even length with stride 2 is padded at its end alone.
    np.testing.assert_allclose(out, line[0, ::2, ::2, ::2, 0], rtol=1e-4)


@pytest.mark.parametrize("size", [(240, 426), (300, 225)])
def test_preprocessing_centres_and_rescales(size):
    video = jnp.full((1, 1, *size, 3), 0.75)
    out = modeling.preprocess(video)
    assert out.shape == (1, 1, 224, 224, 3)
    np.testing.assert_allclose(out, 0.5, atol=1e-5)
