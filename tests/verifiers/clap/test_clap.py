"""CLAP: goldens, the published key list, windows, features of each mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import assert_golden, golden_cases
from network_helpers import jitted, random_network, with_dtype

from avits_jax.nn.abstract import abstract
from avits_jax.types import Media
from avits_jax.verifiers.clap import features
from avits_jax.verifiers.clap import params as names
from avits_jax.verifiers.clap.audio_encoder import (
    AudioEncoder,
    join_windows,
    shift_mask,
    windows_of,
)
from avits_jax.verifiers.clap.config import (
    TINY,
    AudioConfig,
    ClapConfig,
    TextConfig,
)
from avits_jax.verifiers.clap.text_encoder import TextEncoder
from avits_jax.verifiers.clap.verifier import clap_pass, text_encoder

CASES = [
    case
    for prefix in ("clap_", "pre_clap", "manifest_clap")
    for case in golden_cases("verifiers", prefix)
]


@pytest.mark.parametrize("golden", CASES)
def test_clap_meets_the_golden(golden):
    assert_golden(golden)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_full_size_computes_in_the_weights_dtype_and_scores_in_float32(dtype):
    config = ClapConfig()
    graph, like = names.build(config)
    params = with_dtype(like, dtype)
    media = Media(
        jax.ShapeDtypeStruct((2, 102, 240, 426, 3), jnp.float32),
        jax.ShapeDtypeStruct((2, 68_000), jnp.float32),
    )
    mel = jax.ShapeDtypeStruct((2, 1001, config.audio.mel_bins), jnp.float32)
    ids = jax.ShapeDtypeStruct((2, 64), jnp.int32)

    def hidden(params, mel, ids):
        model = nnx.merge(graph, params)
        return model.audio.hidden(mel), model.text.hidden(ids, ids != 1)

    inner = jax.eval_shape(hidden, params, mel, ids)
    assert all(x.dtype == dtype for x in inner)
    shared = clap_pass(config, sample_rate=16_000, candidate_batch=1)
    cond = jax.ShapeDtypeStruct((64,), jnp.int32), jax.ShapeDtypeStruct((64,), bool)
    reward = jax.eval_shape(shared.rewards, params, media, cond)["clap"]
    assert reward.shape == (2,) and reward.dtype == jnp.float32


def test_a_text_is_filled_up_or_cut_and_keeps_its_end():
    encode = text_encoder(lambda text: [0, *range(4, 4 + len(text)), 2], TextConfig())
    ids, mask = encode("x" * 5)
    assert ids[:8].tolist() == [0, 4, 5, 6, 7, 8, 2, 1]
    assert len(ids) == len(mask) == 32 and mask.sum() == 7
    ids, mask = encode("x" * 600)
    assert len(ids) == 512 and mask.all()
    assert ids[[0, 1, 510, 511]].tolist() == [0, 4, 513, 2]


def test_padding_does_not_change_an_embedding():
    config = TINY.text
    graph, params = random_network(lambda rngs: TextEncoder(config, rngs=rngs))
    embed = jitted(graph, lambda encoder, ids, mask: encoder(ids, mask))
    ids = jnp.asarray([[0, 8, 9, 2, 1, 1]])
    padded = embed(params, ids, ids != 1)
    np.testing.assert_allclose(
        embed(params, ids[:, :4], ids[:, :4] != 1), padded, atol=1e-5
    )


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="CLAP must be one of default, bench, its, g"):
        clap_pass(TINY, sample_rate=16_000, mode="best")


def test_audio_encoder_ignores_the_rest_of_the_batch_and_takes_odd_depths():
    config = AudioConfig(8, 32, 4, 8, (1, 3), (2, 2), 2)
    graph, params = random_network(lambda rngs: AudioEncoder(config, rngs=rngs))
    params["mel_norm"] = {name: np.ones(8, np.float32) for name in params["mel_norm"]}
    embed = jitted(graph, lambda encoder, mel: encoder(mel))
    mel = jax.random.normal(jax.random.key(0), (3, 100, 8))
    whole, other = embed(params, mel), embed(params, mel[jnp.asarray([1, 0, 2])])
    assert whole.shape == (3, 16)
    np.testing.assert_allclose(whole[2], other[2], atol=1e-5)
    np.testing.assert_allclose(whole[0], other[1], atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_too_many_frames_are_refused():
    config = AudioConfig(8, 32, 4, 8, (1,), (2,), 4)
    graph, like = abstract(lambda rngs: AudioEncoder(config, rngs=rngs))
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
