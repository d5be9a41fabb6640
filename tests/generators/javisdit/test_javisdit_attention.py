"""Attention of JavisDiT: the same numbers in every form that a platform takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from avits_jax.generators.javisdit import packed_tpu
from avits_jax.generators.javisdit.attention import (
    EPSILON,
    Heads,
    KeyValue,
    attend_heads,
    cross_attend,
    normalise_heads,
    self_attend,
)

# Of JavisDiT: some heads lie in one memory tile of 128 lanes, some in two. A loop goes
# over the first two of these five.
HEAD, NUM_HEADS = 72, 5
WIDTH = HEAD * NUM_HEADS


def _normal(seed, *shape, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def _heads(width, rotary):
    scales = jnp.linspace(0.5, 2, width), jnp.linspace(2, 0.5, width)
    return Heads(*scales, 0.5 ** jnp.arange(width // 2) if rotary else None)


def _calls(function, *arrays, platform):
    """Return how many kernels of Mosaic a program for a platform calls."""
    traced = jax.jit(function).trace(*arrays)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    return text.count("tpu_custom_call")


@pytest.mark.parametrize("rotary", [False, True])
def test_packed_heads_attend_as_heads_apart(rotary):
    """11 pixels leave part of a block empty, which holds NaN."""
    qkv, heads = _normal(0, 1, 2, 11, 3 * WIDTH), _heads(HEAD, rotary)

    def packed(qkv, *heads):
        return packed_tpu.self_attend(qkv, *heads, pixels=8, epsilon=EPSILON)

    with pltpu.force_tpu_interpret_mode():
        found = jax.jit(packed)(qkv, *heads)
    if rotary:
        turned = attend_heads(jnp.swapaxes(qkv, 1, 2), *heads)
        wanted = jnp.swapaxes(turned, 1, 2)
    else:
        wanted = attend_heads(qkv, *heads)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_packed_heads_attend_to_the_row_of_their_sample(shared):
    query = _normal(0, 4, 1, 5, WIDTH)
    context = KeyValue(*_normal(1, 2, 2, 7, NUM_HEADS, HEAD))
    mask = jnp.arange(7) < jnp.array([[4], [7]])

    def packed(query, key, value, lengths):
        key, value = (x.reshape(2, 7, WIDTH) for x in (key, value))
        row = (lambda sample: sample // 2) if shared else (lambda sample: sample % 2)
        rest = {"heads": NUM_HEADS, "row": row}
        return packed_tpu.cross_attend(query, key, value, lengths, **rest)

    lengths = None if shared else jnp.array([4, 7])
    with pltpu.force_tpu_interpret_mode():
        found = jax.jit(packed)(query, *context, lengths)
    wanted = cross_attend(query, context, None if shared else mask, shared=shared)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


def test_kernels_are_lowered_for_tpus_alone_and_where_they_gain():
    def within(x, heads):
        return self_attend(x, lambda x: jnp.tile(x, 3), lambda x: x, heads)

    frames = _normal(0, 1, 2, 130, 128, dtype=jnp.bfloat16)
    few = _normal(0, 1, 16, 16, 128, dtype=jnp.bfloat16)
    for heads, tokens in ((_heads(64, False), frames), (_heads(64, True), few)):
        for x, calls in ((tokens, 1), (tokens.astype(jnp.float32), 0)):
            assert _calls(within, x, heads, platform="tpu") == calls
            assert _calls(within, x, heads, platform="cuda") == 0
    assert _calls(within, few, _heads(64, False), platform="tpu") == 0

    context = KeyValue(*_normal(1, 2, 1, 7, 2, 64, dtype=jnp.bfloat16))
    assert _calls(cross_attend, frames, context, platform="tpu") == 1
    assert _calls(cross_attend, frames, context, platform="cuda") == 0
    assert _calls(cross_attend, few, context, platform="tpu") == 0


def test_gradients_are_those_of_heads_apart():
    """For TPUs as well: the kernels themselves have none."""
    arrays = _normal(0, 1, 1, 130, 128), KeyValue(*_normal(1, 2, 1, 7, 2, 64))
    halves = jax.tree.map(lambda a: a.astype(jnp.bfloat16), arrays)

    @jax.jit
    @jax.grad
    def slopes(x, context):
        out = self_attend(x, lambda x: jnp.tile(x, 3), jnp.tanh, _heads(64, False))
        return jnp.sum(cross_attend(out, context).astype(jnp.float32) ** 2)

    wanted, found = slopes(*arrays), slopes(*halves).astype(jnp.float32)
    error = jnp.sqrt(jnp.mean(jnp.square(found - wanted)))
    assert error < 0.05 * jnp.sqrt(jnp.mean(jnp.square(wanted)))
    assert slopes.trace(*halves).lower(lowering_platforms=("tpu",))


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_context_rows_serve_samples_in_turn(rows):
    query = _normal(0, 4, 1, 3, 16)
    context = KeyValue(_normal(1, rows, 5, 2, 8), _normal(2, rows, 5, 2, 8))
    mask = jnp.arange(5)[None] < jnp.arange(2, 2 + rows)[:, None]
    together = cross_attend(query, context, mask)
    for sample in range(4):
        row = slice(sample % rows, sample % rows + 1)
        count = int(mask[row].sum())
        kept = KeyValue(context.key[row, :count], context.value[row, :count])
        alone = cross_attend(query[sample : sample + 1], kept)
        np.testing.assert_allclose(together[sample : sample + 1], alone, atol=1e-5)


def test_rows_that_do_not_divide_the_samples_are_refused():
    context = KeyValue(jnp.ones((3, 2, 1, 8)), jnp.ones((3, 2, 1, 8)))
    with pytest.raises(ValueError, match="3 rows, which do not divide 4"):
        cross_attend(jnp.ones((4, 1, 2, 8)), context)


ARRAYS = _normal(0, 2, 5, 3, 8), _normal(1, 2, 5, 3, 8)
SCALES = _heads(8, rotary=False)[:2]


def test_tpus_norm_the_same_numbers_heads_first(monkeypatch):
    plain = normalise_heads(*ARRAYS, *SCALES)
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *args, tpu, default: tpu(*args)
    )
    for turned, wanted in zip(normalise_heads(*ARRAYS, *SCALES), plain, strict=True):
        np.testing.assert_allclose(turned, wanted, rtol=1e-6)


def test_the_barrier_is_for_tpus_alone():
    traced = jax.jit(normalise_heads).trace(*ARRAYS, *SCALES)
    for platform, barriers in (("tpu", 1), ("cuda", 0), ("cpu", 0)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("optimization_barrier") == barriers
