"""CLAP: goldens, the published key list, windows, features of each mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from networks import jitted, random_network

from avits_jax.nn.abstract import abstract
from avits_jax.verifiers.clap import features
from avits_jax.verifiers.clap import params as names
from avits_jax.verifiers.clap.audio_tower import (
    AudioTower,
    join_windows,
    shift_mask,
    windows_of,
)
from avits_jax.verifiers.clap.config import AudioConfig, ClapConfig

CASES = [
    case
    for prefix in ("clap_", "pre_clap", "manifest_clap")
    for case in golden_cases("verifiers", prefix)
]


@pytest.mark.parametrize("golden", CASES)
def test_clap_meets_the_golden(golden):
    assert_golden(golden)


def test_full_size_lowers_without_memory():
    config = ClapConfig()
    graph, params = names.build(config)
    mel = jax.ShapeDtypeStruct((2, 1001, config.audio.mel_bins), jnp.float32)
    ids = jax.ShapeDtypeStruct((2, 40), jnp.int32)

    def embed(params, mel, ids):
        model = nnx.merge(graph, params)
        return model.embed_audio(mel), model.embed_text(ids, ids != 1)

    for out in jax.eval_shape(embed, params, mel, ids):
        assert out.shape == (2, config.embed_dim)


def test_audio_tower_ignores_the_rest_of_the_batch_and_takes_odd_depths():
    config = AudioConfig(8, 32, 4, 8, (1, 3), (2, 2), 2)
    graph, params = random_network(lambda rngs: AudioTower(config, rngs=rngs))
    params["mel_norm"] = {name: np.ones(8, np.float32) for name in params["mel_norm"]}
    embed = jitted(graph, lambda tower, mel: tower(mel))
    mel = jax.random.normal(jax.random.key(0), (3, 100, 8))
    whole, other = embed(params, mel), embed(params, mel[jnp.asarray([1, 0, 2])])
    assert whole.shape == (3, 16)
    np.testing.assert_allclose(whole[2], other[2], atol=1e-5)
    np.testing.assert_allclose(whole[0], other[1], atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_too_many_frames_are_refused():
    config = AudioConfig(8, 32, 4, 8, (1,), (2,), 4)
    graph, like = abstract(lambda rngs: AudioTower(config, rngs=rngs))
    with pytest.raises(ValueError, match="at most 128 frames, got 129"):
        nnx.merge(graph, like).fold(jnp.zeros((1, 129, 8)))


def test_windows_come_back():
    x = jnp.arange(2 * 8 * 4 * 3.0).reshape(2, 8, 4, 3)
    cut = windows_of(x, 2)
    np.testing.assert_array_equal(cut[1, :, 0], x[0, [0, 0, 1, 1], [2, 3, 2, 3], 0])
    np.testing.assert_array_equal(join_windows(cut, 8, 4, 2), x)


def test_shifted_windows_do_not_see_across_the_border():
    mask = shift_mask(8, 8, 4, 2)
    assert mask.shape == (4, 16, 16)
    assert mask[0].all()
    assert mask[1].sum() == 2 * 8 * 8
    assert mask[3].sum() == 4 * 4 * 4


def test_padding():
    wave = jnp.asarray([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(features.zero_pad(wave, 7), [1, 2, 3, 0, 0, 0, 0])
    np.testing.assert_array_equal(features.repeat_pad(wave, 7), [1, 2, 3, 1, 2, 3, 0])
    np.testing.assert_array_equal(features.repeat_pad(jnp.arange(9.0), 5), range(2, 7))
    with pytest.raises(ValueError, match="at least one sample"):
        features.repeat_pad(wave[:0])


def test_a_tone_peaks_at_its_band_and_scales_in_decibels():
    wave = jnp.asarray(np.sin(2 * np.pi * 1000 * np.arange(9600) / 48_000))
    loud, quiet = features.log_mel(wave), features.log_mel(0.1 * wave)
    assert loud.shape == (21, 64)
    band = int(loud[10].argmax())
    assert int(features.log_mel(0.0 * wave)[10, band]) == -100
    np.testing.assert_allclose(loud[10, band] - quiet[10, band], 20.0, atol=1e-3)
    low = jnp.asarray(np.sin(2 * np.pi * 500 * np.arange(9600) / 48_000))
    assert int(features.log_mel(low)[10].argmax()) < band
