"""`attend` picks its implementation for the platform that a program is made for."""

import functools

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.nn import attention
from avits_jax.nn.attention_gradient import with_gradient_of
from tools.absent_gpu import absent_gpu


def _arrays(dtype, shape=(2, 5, 3, 8)):
    draws = np.random.default_rng(0)
    return [jnp.asarray(draws.normal(size=shape), dtype) for _ in range(3)]


def _for_cuda(function, *arrays) -> str:
    """Return what is lowered for a CUDA GPU where there is one."""
    with absent_gpu():
        program = jax.jit(function).trace(*arrays)
        return program.lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize(
    ("dtype", "head", "backend", "want"),
    [
        (jnp.bfloat16, 72, "gpu", "cudnn"),
        (jnp.float16, 128, "gpu", "cudnn"),
        (jnp.bfloat16, 72, "tpu", "xla"),
        (jnp.bfloat16, 72, "cpu", "xla"),
        (jnp.float32, 72, "gpu", "xla"),
        (jnp.bfloat16, 12, "gpu", "xla"),
        (jnp.bfloat16, 136, "gpu", "xla"),
    ],
)
def test_cudnn_is_taken_for_what_it_takes(dtype, head, backend, want):
    assert attention.implementation(jnp.dtype(dtype), head, backend) == want
    query = jnp.ones((1, 4, 2, head), dtype)
    if backend == "gpu":
        text = _for_cuda(attention.attend, query, query, query)
        assert ("__cudnn$fmhaSoftmax" in text) is (want == "cudnn")


def test_where_there_is_a_gpu_only_programs_for_it_are_fused(monkeypatch):
    asked = []

    def stand_in(query, key, value, *, implementation, **rest):
        asked.append(implementation)
        return query * 0 if implementation == "cudnn" else query + value

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    query, key, value = _arrays(jnp.bfloat16)
    program = jax.jit(lambda *arrays: attention.attend(*arrays))
    np.testing.assert_array_equal(program(query, key, value), query + value)
    assert set(asked) == {"cudnn", "xla"}
    fused, plain = (
        program.trace(query, key, value).lower(lowering_platforms=(name,)).as_text()
        for name in ("cuda", "cpu")
    )
    assert "multiply" in fused and "multiply" not in plain


def test_lengths_hide_the_keys_behind():
    query, key, value = _arrays(jnp.float32)
    run = jax.jit(attention.attend)
    masked = run(query, key, value, jnp.array([3, 5]))
    short = run(query, key[:, :3], value[:, :3])
    np.testing.assert_allclose(masked[0], short[0], rtol=1e-5, atol=1e-6)
    whole = run(query, key, value)
    np.testing.assert_allclose(masked[1], whole[1], rtol=1e-5, atol=1e-6)


def test_a_causal_query_sees_no_later_key():
    query, key, value = _arrays(jnp.float32)
    run = jax.jit(attention.attend, static_argnames="causal")
    whole = run(query, key, value, causal=True)
    np.testing.assert_allclose(whole[:, 0], value[:, 0], rtol=1e-5, atol=1e-6)
    last = run(query, key, value)[:, -1]
    np.testing.assert_allclose(whole[:, -1], last, rtol=1e-5, atol=1e-6)
    changed = run(query, key.at[:, 3:].set(9), value.at[:, 3:].set(9), causal=True)
    np.testing.assert_array_equal(changed[:, :3], whole[:, :3])


def _long_arrays(shape=(2, 256, 9, 4)):
    return [3 * each for each in _arrays(jnp.float32, shape)]


def test_a_cpu_takes_some_heads_of_long_queries_after_others():
    arrays = _long_arrays()
    program = jax.jit(attention.attend)
    for platform, loops in ("cpu", 1), ("tpu", 0), ("cuda", 0):
        lowered = program.trace(*arrays).lower(lowering_platforms=(platform,))
        assert lowered.as_text().count("stablehlo.while") == loops
    plain = jax.nn.dot_product_attention(*arrays)
    np.testing.assert_allclose(program(*arrays), plain, atol=1e-5)
    few = [arrays[0], *(each[:, :255] for each in arrays[1:])]
    halved = [each.astype(jnp.bfloat16) for each in arrays]
    at_once = [each[:, :, :8] for each in arrays]
    for others in few, halved, at_once:
        text = program.trace(*others).lower(lowering_platforms=("cpu",)).as_text()
        assert "stablehlo.while" not in text


def test_a_cpu_takes_few_logits_as_xla_does():
    query, key, value = _long_arrays()
    for queries, by_heads in (7, False), (8, True):
        program = jax.jit(attention.attend).trace(query[:, :queries], key, value)
        text = program.lower(lowering_platforms=("cpu",)).as_text()
        # XLA's own has the queries' axis behind the heads' in its logits alone.
        assert (f"tensor<2x9x1x{queries}x256xf32>" in text) is by_heads


@pytest.mark.parametrize("queries", [256, 8])
@pytest.mark.parametrize("heads", [9, 3, 1])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [None, [250, 1]])
def test_a_cpu_hides_keys_and_shares_heads_as_plain_attention(
    queries, heads, causal, lengths
):
    query, key, value = _long_arrays()
    arrays = query[:, :queries], key[:, :, :heads], value[:, :, :heads]
    lengths = None if lengths is None else jnp.array(lengths)
    plain = jax.nn.dot_product_attention(
        *arrays, is_causal=causal, key_value_seq_lengths=lengths
    )
    found = jax.jit(functools.partial(attention.attend, causal=causal))
    np.testing.assert_allclose(found(*arrays, lengths), plain, atol=1e-5)


@pytest.mark.parametrize("lengths", [None, [250, 100]])
def test_on_a_cpu_it_has_the_gradient_of_plain_attention_and_takes_prompts(lengths):
    arrays = _long_arrays()
    lengths = None if lengths is None else jnp.array(lengths)

    def loss(function, **hidden):
        return lambda *arrays: jnp.sum(jnp.sin(function(*arrays, **hidden)))

    ours, plain = (
        jax.jit(jax.grad(loss(function, **hidden), (0, 1, 2)))(*arrays)
        for function, hidden in (
            (attention.attend, {"lengths": lengths}),
            (jax.nn.dot_product_attention, {"key_value_seq_lengths": lengths}),
        )
    )
    for got, right in zip(ours, plain, strict=True):
        np.testing.assert_allclose(got, right, atol=1e-4)
    prompts = [jnp.stack([each, -2 * each]) for each in arrays]
    together = jax.vmap(lambda *each: attention.attend(*each, lengths))(*prompts)
    for index, mixed in enumerate(together):
        alone = attention.attend(*(each[index] for each in prompts), lengths)
        np.testing.assert_allclose(mixed, alone, atol=1e-5)


def test_masks_of_leading_keys_become_lengths():
    mask = jnp.array([[True, True, False], [True, True, True]])
    lengths = attention.count_seen(mask)
    assert lengths.dtype == jnp.int32 and lengths.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("lengths", "causal", "want"),
    [
        (None, False, "NO_MASK"),
        ([4, 5], False, "PADDING"),
        (None, True, "CAUSAL"),
        ([4, 5], True, "PADDING_CAUSAL"),
    ],
)
def test_cudnn_is_told_what_is_hidden_without_a_bias(lengths, causal, want):
    """Traced as where there is a GPU: jax checks what it hands to cuDNN."""
    lengths = None if lengths is None else jnp.array(lengths, jnp.int32)

    def call(*arrays):
        return attention.attend(*arrays, lengths, causal=causal)

    text = _for_cuda(call, *_arrays(jnp.bfloat16))
    assert f"22{want}\\22" in text and "fmhaScaleBias" not in text
    # Prompts by vmap make the batch longer; queries, keys and values need not all vary.
    query, key, value = _arrays(jnp.bfloat16, (2, 5, 3, 8))
    queries = jnp.stack([query] * 4, 2)
    text = _for_cuda(jax.vmap(call, (2, None, None)), queries, key, value)
    assert "tensor<8x5x3x8xbf16>" in text and f"22{want}\\22" in text


def test_the_batch_that_vmap_makes_is_in_order(monkeypatch):
    real = jax.nn.dot_product_attention

    def as_xla(*arrays, implementation, **rest):
        return real(*arrays, implementation="xla", **rest)

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", as_xla)
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *a, cuda, default: cuda(*a)
    )
    queries, keys, values = _arrays(jnp.bfloat16, (2, 2, 5, 3, 8))
    lengths = jnp.array([3, 5])
    run = jax.jit(lambda *arrays: attention.attend(*arrays, lengths))
    mapped = jax.jit(
        jax.vmap(lambda *arrays: attention.attend(*arrays, lengths), (0, 0, None))
    )
    together = mapped(queries, keys, values[0])
    for query, key, out in zip(queries, keys, together, strict=True):
        np.testing.assert_array_equal(out, run(query, key, values[0]))


@pytest.mark.parametrize("lengths", [None, jnp.asarray([3, 5], jnp.int32)])
def test_odd_lengths_can_be_differentiated_for_a_gpu(lengths):
    def total(*arrays):
        return jnp.sum(attention.attend(*arrays, lengths).astype(jnp.float32))

    arrays = _arrays(jnp.bfloat16)
    assert "fmhaSoftmax" in _for_cuda(total, *arrays)
    assert _for_cuda(jax.grad(total, (0, 1, 2)), *arrays)
    over_prompts = jax.vmap(jax.grad(total), (0, None, None))
    assert _for_cuda(over_prompts, jnp.stack([arrays[0]] * 2), *arrays[1:])


def test_a_fused_kernel_has_the_gradient_of_the_plain_form():
    plain = attention._attention("xla", causal=False)
    both = with_gradient_of(plain, lambda q, *rest: 0 * q)
    arrays, lengths = _arrays(jnp.float32), jnp.asarray([3, 5], jnp.int32)

    def slopes(function):
        def total(*qkv):
            weights = jnp.arange(8.0)
            return jnp.sum(weights * function(*qkv, lengths))

        return jax.jit(jax.grad(total, (0, 1, 2)))(*arrays)

    assert not both(*arrays, lengths).any()
    for found, wanted in zip(slopes(both), slopes(plain), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
