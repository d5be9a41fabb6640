"""CLAP scores of a population."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import random_network

from avits_jax.types import Media
from avits_jax.verifiers.clap import features
from avits_jax.verifiers.clap.config import AudioConfig, ClapConfig, TextConfig
from avits_jax.verifiers.clap.modeling import Clap
from avits_jax.verifiers.clap.program import score_clips

TINY = ClapConfig(
    text=TextConfig(30, 8, 1, 2, 16, 12),
    audio=AudioConfig(16, 256, 4, 4, (1, 1), (1, 2), 4, 2.0),
    embed_dim=6,
)
IDS = jnp.asarray([0, 7, 9, 2, 1, 1])


@pytest.mark.parametrize(("wave", "batch"), [("bench_wave", 2), ("its_wave", 16)])
def test_candidates_are_scored_alone_and_a_broken_one_fails_alone(wave, batch):
    graph, params = random_network(lambda rngs: Clap(TINY, rngs=rngs))
    params["audio"]["mel_norm"]["variance"] = np.full(16, 400.0, np.float32)

    @jax.jit
    def run(params, audio):
        return score_clips(
            nnx.merge(graph, params),
            Media(jnp.zeros(()), audio),
            IDS,
            IDS != 1,
            sample_rate=16_000,
            num_mels=16,
            wave=getattr(features, wave),
            candidate_batch=batch,
        )

    rng = np.random.default_rng(0)
    envelope = np.sin(np.arange(8_000) / 900) ** 2
    audio = jnp.asarray(0.2 * rng.normal(size=(3, 8_000)) * envelope, jnp.float32)
    audio = audio * jnp.asarray([1.0, 0.3, 0.03])[:, None]
    whole = run(params, audio)
    assert (np.abs(whole) <= 1 + 1e-6).all() and len(set(whole.tolist())) == 3
    other = run(params, audio[jnp.asarray([2, 0, 1])].at[1].set(jnp.nan))
    np.testing.assert_allclose(other[0], whole[2], atol=1e-4)
    np.testing.assert_allclose(other[2], whole[1], atol=1e-4)
    assert np.isnan(other[1])


def test_waves_fill_ten_seconds_each_in_its_way():
    audio = jnp.full((1, 2, 16_000), 0.5)
    shape = (1, features.MAX_SAMPLES)
    default = features.default_wave(audio, 16_000)
    bench = features.bench_wave(audio, 16_000)
    its = features.its_wave(audio, 16_000)
    assert default.shape == bench.shape == its.shape == shape
    np.testing.assert_allclose(default[0, 1000::48_000], 0.5, atol=1e-2)
    assert int((np.abs(bench[0]) > 0.25).sum()) == pytest.approx(48_000, abs=10)
    assert its[0, 15_999] == 16_383 and its[0, 16_000] == 0
