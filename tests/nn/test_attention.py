"""`attend` picks its implementation for the platform that a program is made for."""

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.nn import attention


def _arrays(dtype):
    keys = jax.random.split(jax.random.key(0), 3)
    return [jax.random.normal(key, (2, 5, 3, 8)).astype(dtype) for key in keys]


def test_where_there_is_a_gpu_only_programs_for_it_are_fused(monkeypatch):
    asked = []

    def stand_in(query, key, value, *, mask, implementation):
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
    asked.clear()
    attention.attend(*_arrays(jnp.float32))
    assert asked == ["xla"]


def test_a_mask_hides_keys():
    query, key, value = _arrays(jnp.float32)
    seen = jnp.arange(5) < 3
    masked = attention.attend(query, key, value, seen[None, None, None])
    short = attention.attend(query, key[:, :3], value[:, :3])
    np.testing.assert_allclose(masked, short, rtol=1e-5, atol=1e-6)


def test_cudnn_takes_masks_that_leave_queries_alone(monkeypatch):
    """Traced as where there is a GPU: jax checks what it hands to cuDNN."""
    kernels = "jax._src.cudnn.fused_attention_stablehlo"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(f"{kernels}.check_cudnn_version", lambda: 91_000)
    monkeypatch.setattr(f"{kernels}.check_compute_capability", lambda wanted: True)
    monkeypatch.setattr(
        f"{kernels}.is_cuda_compute_capability_equal", lambda wanted: False
    )
    query, key, value = _arrays(jnp.bfloat16)
    seen = jnp.asarray([[True] * 4 + [False], [True] * 5])[:, None, None]
    program = jax.make_jaxpr(attention.attend)(query, key, value, seen)
    assert "dot_product_attention" in str(program)
    assert program.out_avals[0].shape == query.shape
