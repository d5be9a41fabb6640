"""LTX-2's video decoder and encoder: golden, full size, what sees what, statistics."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from jax.sharding import AbstractMesh
from network_helpers import jitted, random_network, with_dtype

from avits_jax.generators.ltx2.video_vae.config import (
    LTX2_DECODER,
    LTX2_ENCODER,
    TINY_DECODER,
    TINY_ENCODER,
    Resample,
    VideoDecoderConfig,
    VideoEncoderConfig,
)
from avits_jax.generators.ltx2.video_vae.modeling import (
    VideoDecoder,
    VideoEncoder,
    build_decoder,
    build_encoder,
)
from avits_jax.generators.ltx2.video_vae.sharding import RULES
from avits_jax.nn import convolution
from avits_jax.parallel.flops import count_flops
from avits_jax.parallel.sharding import param_shardings

_DECODERS = {"2.3": VideoDecoderConfig(), "2.0": LTX2_DECODER}
_ENCODERS = {"2.3": VideoEncoderConfig(), "2.0": LTX2_ENCODER}
_CHANNELS = 4
_DECODER = VideoDecoderConfig(
    latent_channels=_CHANNELS,
    width=16,
    depths=(1, 2),
    resamples=(Resample(residual=True),),
    patch=2,
    reflect=True,
)
_ENCODER = VideoEncoderConfig(
    latent_channels=_CHANNELS,
    width=4,
    depths=(1, 1),
    resamples=(Resample(residual=True),),
    patch=2,
)


def _normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _size(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("golden", golden_cases("ltx2", "video_vae"))
def test_golden(golden):
    assert_golden(golden)


@pytest.mark.parametrize(
    "version, count, tera", [("2.3", 407_169_072, 117.5), ("2.0", 528_380_720, 60.2)]
)
def test_decoder_at_full_size(version, count, tera, monkeypatch):
    # A CPU's form makes a column more than there is, and the dearest form counts.
    monkeypatch.setattr(convolution, "_shifted_conv2d", convolution._plain)
    config = _DECODERS[version]
    graph, like = build_decoder(config)
    assert _size(like) - 2 * config.latent_channels == count
    assert config.scale == (8, 32, 32) and config.widths[-1] == 128
    traced = jitted(graph, VideoDecoder.decode).trace(
        with_dtype(like, jnp.bfloat16),
        jax.ShapeDtypeStruct((1, 16, 16, 24, 128), jnp.float32),
    )
    assert traced.out_info.shape == (1, 121, 512, 768, 3)
    assert traced.out_info.dtype == jnp.float32
    assert count_flops(traced.jaxpr) == pytest.approx(tera * 1e12, rel=0.001)


@pytest.mark.parametrize("version, count", [("2.3", 318_937_153), ("2.0", 694_099_137)])
def test_encoder_at_full_size(version, count):
    config = _ENCODERS[version]
    graph, like = build_encoder(config)
    assert _size(like) == count
    assert config.scale == (8, 32, 32)
    found = jax.eval_shape(
        jitted(graph, VideoEncoder.encode),
        with_dtype(like, jnp.bfloat16),
        jax.ShapeDtypeStruct((1, 121, 512, 768, 3), jnp.float32),
    )
    assert found.shape == (1, 16, 16, 24, 128) and found.dtype == jnp.float32


@pytest.mark.parametrize(
    "build, config",
    [(build_decoder, each) for each in _DECODERS.values()]
    + [(build_encoder, each) for each in _ENCODERS.values()],
)
def test_sixteen_devices_share_nearly_everything(build, config):
    like = build(config)[1]
    split = param_shardings(like, AbstractMesh((1, 16), ("candidate", "model")), RULES)
    whole = [
        leaf
        for leaf, where in zip(
            jax.tree.leaves(like), jax.tree.leaves(split), strict=True
        )
        if where.is_fully_replicated
    ]
    assert _size(whole) < 0.02 * _size(like)


class _Small:
    """Networks of two stages, of random weights, each compiled once."""

    def __init__(self):
        self.decoder = random_network(lambda rngs: VideoDecoder(_DECODER, rngs=rngs))
        self.encoder = random_network(lambda rngs: VideoEncoder(_ENCODER, rngs=rngs))
        self.decode = jitted(self.decoder[0], VideoDecoder.decode)
        self.encode = jitted(self.encoder[0], VideoEncoder.encode)


@pytest.fixture(scope="module")
def small():
    return _Small()


@pytest.fixture(scope="module")
def frames(small):
    """Two rows of latents and their frames."""
    latents = _normal(0, 2, 2, 3, 2, _CHANNELS)
    return latents, np.asarray(small.decode(small.decoder[1], latents))


def test_a_latent_is_two_frames_and_the_first_is_one(frames):
    assert frames[1].shape == (2, 3, 12, 8, 3)


def test_eager_is_compiled(small, frames):
    latents, compiled = frames
    graph, params = small.decoder
    eager = nnx.merge(graph, jax.tree.map(jnp.asarray, params)).decode(latents)
    np.testing.assert_allclose(eager, compiled, atol=1e-4 * np.std(compiled))


def test_rows_know_nothing_of_each_other(small, frames):
    latents, together = frames
    changed = latents.at[1].set(_normal(1, *latents.shape[1:]))
    apart = np.asarray(small.decode(small.decoder[1], changed))
    np.testing.assert_array_equal(apart[0], together[0])
    assert np.abs(apart[1] - together[1]).max() > 0.01


def test_every_frame_sees_what_comes_later(small, frames):
    latents, before = frames
    after = np.asarray(small.decode(small.decoder[1], latents.at[:, 1].add(1.0)))
    assert np.abs(after - before).max((0, 2, 3, 4)).min() > 1e-3


def test_reflection_knows_no_border(small, frames):
    latents = jnp.broadcast_to(frames[0][:, :, :1, :1], frames[0].shape)
    video = np.asarray(small.decode(small.decoder[1], latents))
    patch = video[:, :, :4, :4]
    np.testing.assert_allclose(video, np.tile(patch, (1, 1, 3, 2, 1)), atol=1e-3)


def test_bfloat16_stays_close(small, frames):
    latents, wide = frames
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), small.decoder[1])
    narrow = small.decode(params, latents)
    assert narrow.dtype == jnp.float32
    assert 1e-4 < np.std(narrow - wide) / np.std(wide) < 0.03


def test_a_decoder_that_is_told_the_noise_level_listens(small):
    told = replace(_DECODER, conditioned=True)
    _, params = random_network(lambda rngs: VideoDecoder(told, rngs=rngs))
    decode = jax.jit(
        lambda params, level, latents: nnx.merge(
            build_decoder(told)[0], params | {"level_scale": level}
        ).decode(latents)
    )
    latents = _normal(4, 1, 2, 3, 2, _CHANNELS)
    one, other = (decode(params, jnp.float32(x), latents) for x in (1000.0, 2000.0))
    assert np.abs(one - other).max() > 0.01


def test_the_encoder_sees_nothing_later_and_drops_what_is_left_over(small):
    video = jnp.tanh(_normal(2, 2, 4, 12, 8, 3))
    params = small.encoder[1]
    clip = small.encode(params, video)
    assert clip.shape == (2, 2, 3, 2, _CHANNELS) and clip.dtype == jnp.float32
    picture = small.encode(params, video[:, :1])
    assert picture.shape == (2, 1, 3, 2, _CHANNELS)
    np.testing.assert_allclose(picture[:, 0], clip[:, 0], atol=1e-4)
    shorter = small.encode(params, video.at[:, 3].set(0.0))
    np.testing.assert_array_equal(shorter, clip)
    other = small.encode(params, video.at[:, 2].set(0.0))
    np.testing.assert_array_equal(other[:, 0], clip[:, 0])
    assert np.abs(other[:, 1] - clip[:, 1]).max() > 0.01


def test_pictures_that_latents_do_not_tile_are_refused(small):
    with pytest.raises(ValueError, match="4 pixels high and 4 wide, got 10x8"):
        small.encode(small.encoder[1], jnp.zeros((1, 1, 10, 8, 3)))


@pytest.mark.parametrize("network", ["decoder", "encoder"])
def test_normalised_latents_have_the_statistics_taken_off(small, network):
    model = nnx.merge(*getattr(small, network))
    latents = _normal(3, 1, 2, 2, 2, _CHANNELS)
    expected = (latents - model.mean[...]) / model.std[...]
    np.testing.assert_allclose(model.normalise(latents), expected, rtol=1e-5)
    back = model.unnormalise(model.normalise(latents))
    np.testing.assert_allclose(back, latents, atol=1e-5)


def test_reduced_networks_have_the_published_scale():
    assert TINY_DECODER.scale == TINY_ENCODER.scale == (8, 32, 32)


@pytest.mark.parametrize(
    "make, fault",
    [
        (lambda: VideoDecoderConfig(depths=(1, 1)), "one entry more than resamples"),
        (lambda: VideoDecoderConfig(width=10), "width 10 cannot be divided"),
        (lambda: VideoEncoderConfig(width=3), "3 channels cannot be folded"),
        (
            lambda: VideoEncoderConfig(depths=(1, 1), resamples=(Resample(),)),
            "resamples of an encoder are residual",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, fault):
    with pytest.raises(ValueError, match=fault):
        make()
