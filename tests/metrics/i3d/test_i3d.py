"""FVD's network: the published key list, shapes at full size, frames as it reads them.

What it computes is compared with its goldens in test_bench_networks.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, random_network
from PIL import Image

from avits_jax.metrics.frames import spread_frames
from avits_jax.metrics.i3d import modeling, preprocess
from avits_jax.metrics.i3d import params as names
from avits_jax.metrics.i3d.config import I3dConfig


@pytest.mark.parametrize("golden", golden_cases("verifiers", "manifest_i3d"))
def test_every_published_key_is_placed(golden):
    assert_golden(golden)


@pytest.mark.parametrize(("frames", "rows"), [(16, 1), (17, 2), (102, 12)])
def test_full_size_lowers_and_counts_its_rows(frames, rows):
    graph, params = names.build(I3dConfig())
    video = jax.ShapeDtypeStruct((2, frames, 224, 224, 3), jnp.float32)
    out = jax.eval_shape(lambda p, x: nnx.merge(graph, p)(x), params, video)
    assert out.shape == (2, rows, I3dConfig().num_classes)


def test_too_few_frames_are_refused():
    graph, params = names.build(I3dConfig())
    with pytest.raises(ValueError, match="at least 9 frames, got 8"):
        nnx.merge(graph, params)(jnp.zeros((1, 8, 224, 224, 3)))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"stem": (4, 4)}, "stem must have 3 entries, got 2"),
        ({"mixed": ((1,) * 6,) * 8}, "mixed must have 9 entries of 6 channels"),
        ({"mixed": ((1,) * 5,) * 9}, "mixed must have 9 entries of 6 channels"),
    ],
)
def test_sizes_of_another_network_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        I3dConfig(**sizes)


def test_a_unit_pads_as_tensorflow_does():
    graph, params = random_network(lambda rngs: modeling.Unit(1, 1, 3, 2, rngs=rngs))
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    kernel = np.zeros((3, 3, 3, 1, 1), np.float32)
    kernel[0, 0, 0] = 1.0
    params["layer"] = {
        "norm": {"mean": zero, "variance": one, "scale": one, "bias": zero},
        "conv": {"kernel": kernel},
    }
    line = np.arange(1.0, 65.0, dtype=np.float32).reshape(1, 4, 4, 4, 1)
    out = jitted(graph, lambda unit, x: unit(x))(params, line)[0, ..., 0]
    # An even length with stride 2 is padded at its end alone.
    np.testing.assert_allclose(out, line[0, ::2, ::2, ::2, 0], rtol=1e-4)


@pytest.mark.parametrize("size", [(240, 426), (300, 225)])
def test_default_frames_are_centred_and_rescaled(size):
    levels = jnp.full((1, 1, *size, 3), 191.25)
    out = preprocess.cropped(levels)
    assert out.shape == (1, 1, 224, 224, 3)
    np.testing.assert_allclose(out, 0.5, atol=1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_half_range_rounds_every_level_as_float32_does(wrap):
    # Every second level lies on a whole number, where rounding decides.
    levels = np.arange(224 * 224 * 3, dtype=np.float32).reshape(1, 224, 224, 3) % 256
    wanted = (levels / np.float32(255) + np.float32(1)) * np.float32(127.5)
    out = wrap(preprocess.half_range)(jnp.asarray(levels))
    np.testing.assert_array_equal(out, np.floor(wanted))
    assert (out.min(), out.max()) == (127, 255)


@pytest.mark.parametrize(
    ("size", "inside"),
    [
        ((240, 426), (slice(49, 175), slice(0, 224))),
        ((426, 240), (slice(0, 224), slice(49, 175))),
        ((100, 301), (slice(75, 149), slice(0, 224))),
        ((101, 300), (slice(74, 149), slice(0, 224))),
    ],
)
def test_letterbox_averages_and_puts_odd_rows_last(size, inside):
    levels = np.random.default_rng(0).uniform(1, 255, (*size, 3)).astype(np.float32)
    out = np.asarray(preprocess.letterbox(jnp.asarray(levels)))
    picture = out[inside]
    shape = picture.shape[1], picture.shape[0]
    for channel in range(3):
        image = Image.fromarray(levels[..., channel])
        wanted = np.asarray(image.resize(shape, Image.Resampling.BILINEAR))
        np.testing.assert_allclose(picture[..., channel], wanted, atol=2e-3)
    bars = np.ones((224, 224), bool)
    bars[inside] = False
    assert bars.any() and not out[bars].any()


def test_bench_frames_lie_in_half_the_range():
    levels = jnp.stack([jnp.zeros((100, 200, 3)), jnp.full((100, 200, 3), 255.0)])
    out = preprocess.bench(levels)
    np.testing.assert_allclose(out[0], 127 / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(out[1, 100], 1.0, atol=1e-6)
    np.testing.assert_allclose(out[1, 0], 127 / 127.5 - 1, atol=1e-6)


def test_frames_are_spread_with_halves_to_the_even():
    assert spread_frames(6, 3).tolist() == [0, 2, 5]  # 2.5
    assert spread_frames(8, 3).tolist() == [0, 4, 7]  # 3.5
    assert spread_frames(1, 4).tolist() == [0] * 4
    assert spread_frames(9, 1).tolist() == [0]
    stated = [0, 4, 8, 12, 17, 21, 25, 29, 33, 37, 41, 45]
    assert spread_frames(96, 24).tolist()[:12] == stated
    for wrong in ((0, 24), (24, 0)):
        with pytest.raises(ValueError, match="must be at least 1, got 0"):
            spread_frames(*wrong)
