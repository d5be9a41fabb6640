"""Attention in float32 on CPUs: heads before tokens, as many at once as a cache takes.

XLA's own multiplies arrays with tokens before heads, slower; and the logits of all
heads go to memory and back.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Logits of a head below which there is little to gain.
_FEW_OF_HEAD = 2**11
# Logits of a head, and of all, from which some heads are taken after others; those
# that are taken at once fit into a cache, and are work for several cores.
_MANY_OF_HEAD, _AT_ONCE = 2**16, 2**20


def pays(query: Array, key: Array, value: Array) -> bool:
    """Tell whether `attend_by_heads` takes these arrays, and has something to gain."""
    whole = query.dtype == key.dtype == value.dtype == jnp.float32
    return whole and query.shape[1] * key.shape[1] >= _FEW_OF_HEAD


def attend_by_heads(
    query: Float[Array, "B Q H D"],
    key: Float[Array, "B K G D"],
    value: Float[Array, "B K G D"],
    lengths: Int[Array, " B"] | None = None,
    *,
    causal: bool = False,
) -> Float[Array, "B Q H D"]:
    """Return what `nn.attention.attend` returns of the same, up to rounding.

    Args:
        query: ``[B, Q, H, D]`` float32, as are key and value.
        key: ``[B, K, G, D]``; G divides H.
        value: ``[B, K, G, D]``.
        lengths: ``[B]`` int32 in [1, K], leading keys that are looked at; None for all.
        causal: query i looks at keys 0 ... i alone.
    """
    batch, queries, heads, width = query.shape
    keys, groups = key.shape[1:3]
    rows = query.reshape(batch, queries, groups, heads // groups, width) * width**-0.5
    arrays = [jnp.moveaxis(rows, 1, 3), jnp.moveaxis(key, 2, 1)]
    arrays.append(jnp.moveaxis(value, 2, 1))
    if lengths is not None:
        arrays.append(jnp.broadcast_to(lengths[:, None], (batch, groups)))
    mix = partial(_mix, causal=causal)
    of_group = heads // groups * queries * keys
    if of_group >= _MANY_OF_HEAD and batch * groups * of_group > _AT_ONCE:
        most = max(1, _AT_ONCE // of_group)
        together = max(n for n in range(1, most + 1) if batch * groups % n == 0)
        parts = [x.reshape(-1, together, *x.shape[2:]) for x in arrays]
        mixed = jax.lax.map(lambda part: mix(*part), parts)
    else:
        mixed = mix(*arrays)
    mixed = mixed.reshape(batch, heads, queries, width)
    return jnp.moveaxis(mixed, 1, 2)


def _mix(
    rows: Float[Array, "*n R Q D"],
    key: Float[Array, "*n K D"],
    value: Float[Array, "*n K D"],
    lengths: Int[Array, "*n"] | None = None,
    *,
    causal: bool,
) -> Float[Array, "*n R Q D"]:
    """Attend to the keys of one head each with the queries of R heads."""
    *leading, shared, queries, width = rows.shape
    keys = key.shape[-2]
    logits = rows.reshape(*leading, -1, width) @ jnp.swapaxes(key, -1, -2)
    logits = logits.reshape(*leading, shared, queries, keys)
    if causal:
        seen = jnp.arange(keys) <= jnp.arange(queries)[:, None]
        logits = jnp.where(seen, logits, -jnp.inf)
    if lengths is not None:
        seen = jnp.arange(keys) < lengths[..., None, None, None]
        logits = jnp.where(seen, logits, -jnp.inf)
    shares = jax.nn.softmax(logits).reshape(*leading, -1, keys)
    return (shares @ value).reshape(rows.shape)
