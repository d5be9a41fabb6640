"""Norms of queries and keys: the same numbers however they lie in memory."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.generators.javisdit.blocks import HeadNorm, normalise_heads


def _norms() -> tuple[HeadNorm, HeadNorm]:
    query, key = HeadNorm(8), HeadNorm(8)
    key.scale = nnx.Param(jnp.linspace(0.5, 2, 8))
    return query, key


def _heads(query, key):
    return normalise_heads(query, key, *_norms())


ARRAYS = tuple(
    jnp.asarray(np.random.default_rng(n).normal(size=(2, 5, 3, 8)), jnp.float32)
    for n in range(2)
)


def test_tpus_norm_the_same_numbers_heads_first(monkeypatch):
    plain = _heads(*ARRAYS)
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *args, tpu, default: tpu(*args)
    )
    for turned, wanted in zip(_heads(*ARRAYS), plain, strict=True):
        np.testing.assert_allclose(turned, wanted, rtol=1e-6)


def test_the_barrier_is_for_tpus_alone():
    traced = jax.jit(_heads).trace(*ARRAYS)
    for platform, barriers in (("tpu", 1), ("cuda", 0), ("cpu", 0)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("optimization_barrier") == barriers
