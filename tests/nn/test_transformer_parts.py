"""Small parts that several transformers share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import random_network

from avits_jax.nn.abstract import abstract
from avits_jax.nn.activations import quick_gelu
from avits_jax.nn.embedding import Embedding
from avits_jax.nn.patches import patch_kernel, patchify
from avits_jax.nn.pictures import CLIP_MEAN, CLIP_STD, normalise, to_levels
from avits_jax.nn.rotary import rotary_frequencies, rotate
from avits_jax.nn.stacking import scan_layers, stack_layers


def make_layer(rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(4, 4, rngs=rngs)


def test_scan_equals_a_loop_over_the_layers():
    graph, params = random_network(lambda rngs: stack_layers(make_layer, 3, rngs))
    layers = nnx.merge(graph, params)
    x = jax.random.normal(jax.random.key(0), (2, 4))
    want = x
    for kernel, bias in zip(layers.kernel[...], layers.bias[...], strict=True):
        want = want @ kernel + bias
    np.testing.assert_allclose(scan_layers(layers, x), want, atol=1e-6)
    twice = scan_layers(layers, x, lambda layer, x: 2 * layer(x))
    assert np.abs(twice - want).max() > 0.1


def test_layers_differ_from_one_another():
    kernel = stack_layers(make_layer, 2, nnx.Rngs(0)).kernel[...]
    assert np.abs(kernel[0] - kernel[1]).max() > 0.1


def test_depth_must_be_positive():
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        stack_layers(make_layer, 0, nnx.Rngs(0))


def test_abstract_has_the_shapes_and_no_values():
    graph, like = abstract(lambda rngs: stack_layers(make_layer, 3, rngs))
    assert like["kernel"] == jax.ShapeDtypeStruct((3, 4, 4), jnp.float32)
    params = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), like)
    x = jnp.ones((1, 4))
    # Each layer of ones turns a into 4 a + 1.
    np.testing.assert_allclose(scan_layers(nnx.merge(graph, params), x), 85.0)


@pytest.mark.parametrize(("patch", "stride"), [(4, None), (4, 4), (4, 3), (3, None)])
def test_patches_equal_a_convolution(patch, stride):
    images = jax.random.normal(jax.random.key(0), (2, 13, 11, 3))
    weight = jax.random.normal(jax.random.key(1), (5, 3, patch, patch))
    step = stride or patch
    want = jax.lax.conv_general_dilated(
        images,
        weight,
        (step, step),
        "VALID",
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
    )
    found = patchify(images, patch, stride) @ patch_kernel(np.asarray(weight))
    np.testing.assert_allclose(found, want.reshape(2, -1, 5), atol=1e-4)


def test_images_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match="at least 4 pixels high and wide, got 3x8"):
        patchify(jnp.zeros((1, 3, 8, 3)), 4)


def test_patch_kernel_puts_time_first():
    weight = np.arange(2 * 3 * 2 * 2 * 2).reshape(2, 3, 2, 2, 2)
    kernel = patch_kernel(weight)
    assert kernel.shape == (24, 2)
    np.testing.assert_array_equal(kernel[:3, 1], weight[1, :, 0, 0, 0])
    np.testing.assert_array_equal(kernel[12:15, 1], weight[1, :, 1, 0, 0])


def test_rotation_depends_on_the_distance_alone():
    frequencies = rotary_frequencies(8, 100.0)
    np.testing.assert_allclose(frequencies, 100.0 ** (-np.arange(4) / 4), rtol=1e-6)
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def product(place, other):
        turned = [
            rotate(x, np.float32(p) * frequencies[None])
            for x, p in ((query, place), (key, other))
        ]
        return jnp.vdot(*turned)

    np.testing.assert_allclose(product(3, 1), product(12, 10), rtol=1e-4)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3
    length = jnp.linalg.norm(rotate(query, np.float32(5) * frequencies[None]))
    np.testing.assert_allclose(length, jnp.linalg.norm(query), rtol=1e-5)


def test_lookup_has_the_dtype_of_the_weights():
    graph, params = random_network(lambda rngs: Embedding(5, 3, rngs=rngs))
    narrow = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    found = nnx.merge(graph, narrow)(jnp.array([[4, 0], [1, 9]]))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found[0], narrow["embedding"][jnp.array([4, 0])])
    np.testing.assert_array_equal(found[1, 1], narrow["embedding"][4])


def test_quick_gelu_is_near_gelu():
    x = jnp.linspace(-4, 4, 41)
    assert np.abs(quick_gelu(x) - jax.nn.gelu(x)).max() < 0.025
    np.testing.assert_allclose(quick_gelu(jnp.float32(1)), 1 / (1 + np.exp(-1.702)))


def test_levels_round_or_truncate():
    video = jnp.array([[-0.2, 0.5, 1.3], [0.999, 0.001, 0.0021]])
    np.testing.assert_array_equal(to_levels(video), [[0, 128, 255], [255, 0, 1]])
    np.testing.assert_array_equal(
        to_levels(video, truncate=True), [[0, 127, 255], [254, 0, 0]]
    )


def test_normalise():
    found = normalise(jnp.array([[0.0, 127.5, 255.0]]))
    want = (np.array([0, 0.5, 1]) - CLIP_MEAN) / CLIP_STD
    np.testing.assert_allclose(found[0], want, rtol=1e-5)
