"""Audiobox aesthetics: goldens, published key list and figures, full size, work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, random_network, with_dtype

from avits_jax.catalogue.verifiers import OUTPUTS
from avits_jax.parallel.flops import count_flops
from avits_jax.types import Media
from avits_jax.verifiers.audiobox.config import (
    AXES,
    TINY,
    WINDOW,
    AudioboxConfig,
    WavLMConfig,
)
from avits_jax.verifiers.audiobox.modeling import Audiobox, frames_with_sound
from avits_jax.verifiers.audiobox.params import build
from avits_jax.verifiers.audiobox.verifier import audiobox_pass
from avits_jax.verifiers.audiobox.wavlm import FirstConv
from tools.absent_gpu import absent_gpu
from tools.parity.audiobox import conv_layers, quality_waves
from tools.parity.checks import compare_all

CASES = [
    case
    for prefix in ("audiobox_", "manifest_audiobox")
    for case in golden_cases("benchmarks", prefix)
]
# 2 operations for a multiply-add of one window of 10 s: all linear layers and
# convolutions, and the products of queries, keys and values of 499 frames.
_LAYERS, _PRODUCTS = 139e9, 12 * 2 * 2 * 499 * 499 * 768


@pytest.mark.parametrize("golden", CASES)
def test_audiobox_meets_the_golden(golden):
    assert_golden(golden)


def test_sounds_are_read_as_the_benchmark_does():
    (case,) = golden_cases("benchmarks", "pre_bench_audio")
    (golden,) = case.values
    waves = quality_waves(golden)
    found = [each for each in compare_all(golden, waves) if each.output in waves]
    assert len(found) == len(waves) >= 3
    assert all(each.passed for each in found), found


def test_convolutions_are_read_from_the_originals_text():
    text = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"
    sizes = WavLMConfig()
    wanted = zip(sizes.conv_widths, sizes.conv_kernels, sizes.conv_strides, strict=True)
    assert conv_layers(text) == list(wanted)


def test_catalogue_has_the_published_means_and_spreads():
    config = AudioboxConfig()
    for axis, mean, std in zip(AXES, config.means, config.stds, strict=True):
        assert OUTPUTS[f"audiobox_{axis.lower()}"].prior == (mean, std)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_scores_in_float32(dtype):
    config = AudioboxConfig()
    graph, like = build(config)
    params = with_dtype(like, dtype)
    for name in ("first", "mix", "heads"):
        params[name] = like[name]
    sound = jax.ShapeDtypeStruct((2, 68_000), jnp.float32)

    def frames(params, sound):
        return nnx.merge(graph, params).heard_frames(sound, WINDOW)

    inner = jax.eval_shape(frames, params, sound)
    assert inner.dtype == dtype and inner.shape == (2, 213, 512)
    media = Media(jax.ShapeDtypeStruct((2, 102, 24, 42, 3), jnp.float32), sound)
    shared = audiobox_pass(config, sample_rate=16_000, candidate_batch=1)
    rewards = jax.eval_shape(shared.rewards, params, media, ())
    assert len(rewards) == len(AXES)
    for reward in rewards.values():
        assert reward.shape == (2,) and reward.dtype == jnp.float32
    with absent_gpu():
        traced = jax.jit(shared.rewards).trace(params, media, ())
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.convolution" in text


def test_work_of_a_window_is_the_originals_and_less_where_there_is_silence():
    graph, like = build(AudioboxConfig())

    def work(samples):
        sound = jax.ShapeDtypeStruct((1, samples), jnp.float32)
        traced = jax.make_jaxpr(lambda p, x: nnx.merge(graph, p)(x))(like, sound)
        return count_flops(traced)

    needed = _LAYERS + _PRODUCTS
    assert 0.98 < work(WINDOW) / needed < 1.05
    # JavisBench hears 4 s: frames of silence are not worked on.
    assert work(64_000) / _LAYERS < 0.45


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(1, 1), (320, 1), (321, 2), (64_000, 200), (159_680, 499), (160_000, 499)],
)
def test_frames_that_hold_sound(samples, frames):
    assert WavLMConfig().frames(WINDOW) == 499
    assert frames_with_sound(499, samples, WINDOW) == frames


def test_silence_that_is_not_computed_counts_in_the_norm():
    sizes = TINY.encoder
    graph, params = random_network(lambda rngs: FirstConv(sizes, rngs=rngs))
    run = jax.jit(
        lambda params, x: nnx.merge(graph, params)(x, 2000), static_argnums=()
    )
    sound = jax.random.normal(jax.random.key(0), (2, 700))
    short = run(params, jnp.pad(sound, ((0, 0), (0, 9))))
    whole = run(params, jnp.pad(sound, ((0, 0), (0, 1300))))
    assert short.shape[1] < whole.shape[1] == 399
    np.testing.assert_allclose(whole[:, : short.shape[1]], short, atol=1e-5)
    alone = jax.jit(lambda params, x: nnx.merge(graph, params)(x, 709))
    other = alone(params, jnp.pad(sound, ((0, 0), (0, 9))))
    assert np.abs(other - short).max() > 0.1


def test_a_sound_of_no_sample_or_too_many_is_refused():
    graph, like = build(TINY)
    model = nnx.merge(graph, like)
    for samples in (0, 101):
        with pytest.raises(ValueError, match=f"1 to 100 samples, got {samples}"):
            model.heard_frames(jnp.zeros((1, samples)), 100)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"conv_strides": (5, 2)}, "an entry for each convolution, got 7, 7 and 2"),
        ({"heads": 5}, "heads must divide width 768, got 5"),
        ({"position_groups": 7}, "position_groups must divide width 768, got 7"),
        ({"num_buckets": 2}, "num_buckets must be at least 4 .* got 2 and 800"),
        ({"max_distance": 80}, "less than 4 times max_distance, got 320 and 80"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        WavLMConfig(**sizes)


def test_an_encoder_as_wide_as_its_frames_has_no_projection():
    sizes = WavLMConfig(
        (16, 16), (10, 3), (5, 2), 16, 2, 2, 16, 5, 4, num_buckets=8, max_distance=20
    )
    config = AudioboxConfig(sizes, head_depth=1)
    graph, params = random_network(lambda rngs: Audiobox(config, rngs=rngs))
    assert params["encoder"].get("project") is None
    score = jitted(graph, lambda model, x: model(x, 400))
    x = jax.random.normal(jax.random.key(1), (2, 300))
    scores = score(params, x)
    assert scores.shape == (2, 4) and np.isfinite(scores).all()
    np.testing.assert_allclose(score(params, x[1:])[0], scores[1], atol=1e-5)
