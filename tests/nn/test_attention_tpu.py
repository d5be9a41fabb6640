"""TPU's flash kernel, run by the interpreter, against plain attention."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from avits_jax.nn.attention import attend
from avits_jax.nn.attention_tpu import flash_attend, long_enough


def arrays(queries, keys, width=72, dtype=jnp.float32):
    rng = np.random.default_rng(0)

    def draw(length):
        return jnp.asarray(rng.normal(size=(2, length, 1, width)), dtype)

    return draw(queries), draw(keys), draw(keys)


@pytest.mark.parametrize(
    ("queries", "keys", "seen", "width"),
    [
        (520, 30, (26, 30), 72),
        (16, 1030, (1000, 515), 72),
        (300, 40, None, 72),
        (300, 40, None, 128),
        (16, 1030, None, 128),
    ],
)
def test_flash_is_plain_attention(queries, keys, seen, width):
    """Queries and keys that fill no blocks; lengths of each sample's own, and none."""
    query, key, value = arrays(queries, keys, width)
    lengths = None if seen is None else jnp.asarray(seen)
    with pltpu.force_tpu_interpret_mode():
        found = jax.jit(flash_attend)(query, key, value, lengths)
    wanted = attend(query, key, value, lengths)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


def test_gradients_are_those_of_plain_attention():
    """The kernel's own rule would refuse blocks that are made for inference alone."""

    def loss(query, key, value):
        return jnp.sum(jnp.square(attend(query, key, value).astype(jnp.float32)))

    found = jax.grad(loss)(*arrays(300, 130, dtype=jnp.bfloat16))
    wanted = jax.grad(loss)(*arrays(300, 130))
    error = jnp.sqrt(jnp.mean(jnp.square(found.astype(jnp.float32) - wanted)))
    assert error < 0.02 * jnp.sqrt(jnp.mean(jnp.square(wanted)))


def test_the_kernel_is_lowered_for_tpus_alone_and_where_it_gains():
    def kernels(platform, *arrays, causal=False):
        traced = jax.jit(functools.partial(attend, causal=causal)).trace(*arrays)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        return text.count("tpu_custom_call")

    long = arrays(405, 405, dtype=jnp.bfloat16)
    assert kernels("tpu", *long) == 1
    assert kernels("cpu", *long) == 0
    assert kernels("tpu", *long, causal=True) == 0
    assert kernels("tpu", *arrays(30, 30, dtype=jnp.bfloat16)) == 0


def test_what_the_kernel_does_not_take():
    query, key, value = arrays(300, 200, dtype=jnp.bfloat16)
    assert long_enough(query, key, value)
    pairs = jnp.concatenate([query, query], axis=2)
    assert not long_enough(pairs, key, value)
    assert not long_enough(*(x.astype(jnp.float32) for x in (query, key, value)))
    assert not long_enough(*arrays(300, 64, dtype=jnp.bfloat16))
    assert long_enough(*arrays(300, 200, 128, jnp.bfloat16))
