"""T5: position buckets, masks, and the full-size state dict."""

import math

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_helpers import jitted, random_network

from avits_jax.networks.t5.modeling import T5, T5Config, T5Encoder
from avits_jax.nn.relative_positions import position_buckets

TINY = T5Config(
    vocab_size=20,
    d_model=8,
    d_kv=4,
    d_ff=12,
    num_layers=2,
    num_decoder_layers=2,
    num_heads=3,
    num_buckets=8,
    max_distance=20,
)


@pytest.mark.parametrize("golden", goldens.golden_cases("t5"))
def test_manifest(golden):
    goldens.assert_golden(golden)


def bucket_of(distance: int, num_buckets: int, max_distance: int) -> int:
    """One bucket by the definition: exact when near, logarithmic when far."""
    near = num_buckets // 2
    if distance < near:
        return distance
    share = math.log(distance / near) / math.log(max_distance / near)
    # A hair more, since edges that are whole numbers may come out just below.
    far = near + int(share * (num_buckets - near) + 1e-6)
    return min(far, num_buckets - 1)


@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20)])
def test_buckets_look_both_ways(buckets, furthest):
    table = position_buckets(200, buckets, furthest, causal=False)
    half = buckets // 2
    for distance in (0, 1, 7, 8, 15, 16, 32, 63, 64, 127, 128, 150):
        want = bucket_of(distance, half, furthest)
        assert table[150, 150 - distance] == want
        assert table[0, distance] == want + (half if distance else 0)


def test_causal_buckets_look_back():
    table = position_buckets(200, 32, 128, causal=True)
    for distance in (0, 1, 15, 16, 31, 64, 127, 128, 150):
        assert table[150, 150 - distance] == bucket_of(distance, 32, 128)
    assert np.all(table[np.triu_indices(200)] == 0)


def test_padding_is_not_looked_at():
    graph, params = random_network(lambda rngs: T5Encoder(TINY, rngs=rngs))
    encode = jitted(graph, lambda encoder, ids, mask: encoder(ids, mask))
    ids = jnp.array([[5, 6, 7, 1, 0, 0], [8, 9, 1, 0, 0, 0]])
    mask = ids > 0
    states = encode(params, ids, mask)
    other = encode(params, jnp.where(mask, ids, 13), mask)
    np.testing.assert_allclose(states[0, :4], other[0, :4], atol=1e-5)
    alone = encode(params, ids[1:, :3], mask[1:, :3])
    np.testing.assert_allclose(states[1, :3], alone[0], atol=1e-5)


def test_decoder_does_not_look_ahead():
    graph, params = random_network(lambda rngs: T5(TINY, rngs=rngs))
    run = jitted(graph, lambda model, *args: model.decode(*args))
    context = jax.random.normal(jax.random.key(1), (1, 5, 8))
    mask = jnp.array([[True, True, True, False, False]])
    ids = jnp.array([[0, 3, 4, 5]])
    logits = run(params, ids, context, mask)
    changed = run(params, ids.at[0, 3].set(9), context, mask)
    np.testing.assert_allclose(logits[:, :3], changed[:, :3], atol=1e-5)
    assert np.abs(logits[:, 3] - changed[:, 3]).max() > 1e-3
    hidden = run(params, ids, context.at[:, 3:].set(7.0), mask)
    np.testing.assert_allclose(logits, hidden, atol=1e-5)
