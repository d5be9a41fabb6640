"""Connectors: small transformers that turn features of a prompt into a context.

Upstream: huggingface/diffusers, src/diffusers/pipelines/ltx2/connectors.py
(LTX2ConnectorTransformer1d) and models/transformers/transformer_ltx2.py
(LTX2Attention). Of the published kinds of rotary positions only the released one is
here: halves of heads turn, at frequencies made in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.generators.ltx2.text.config import ConnectorsConfig, HeadsConfig
from avits_jax.nn.attention import attend
from avits_jax.nn.linear import linear
from avits_jax.nn.rotary import turn
from avits_jax.nn.stacking import scan_layers, stack_layers

_HIDDEN = 4


def rotary_tables(
    config: ConnectorsConfig, heads: HeadsConfig, length: int
) -> tuple[Float[np.ndarray, "L H A"], Float[np.ndarray, "L H A"]]:
    """Return cosines and sines for positions 0 ... ``length - 1``, in float32.

    Frequencies run through all heads: no two heads turn alike. Phases reach thousands
    of radians and are rounded to float32 before cosine and sine, as in the original.
    """
    steps = np.linspace(0.0, 1.0, heads.width // 2)
    frequencies = (config.theta**steps * np.pi / 2).astype(np.float32)
    place = np.arange(length, dtype=np.float32) / np.float32(config.max_position)
    phases = (2 * place - 1)[:, None] * frequencies
    phases = phases.reshape(length, heads.heads, -1).astype(np.float64)
    return np.cos(phases).astype(np.float32), np.sin(phases).astype(np.float32)


def place_registers(
    x: Float[Array, "B L D"],
    mask: Bool[Array, "B L"],
    registers: Float[Array, "R D"],
) -> Float[Array, "B L D"]:
    """Move a prompt's tokens to the front of its row, and put registers behind them.

    Args:
        x: tokens and padding.
        mask: True at tokens, which keep their order.
        registers: repeated over the row; a place always gets the same one.
    """
    length = x.shape[1]
    order = jnp.argsort(~mask, axis=1, stable=True)
    front = jnp.take_along_axis(x, order[..., None], axis=1)
    behind = registers[np.arange(length) % len(registers)].astype(x.dtype)
    is_token = np.arange(length) < jnp.sum(mask, 1, keepdims=True)
    return jnp.where(is_token[..., None], front, behind)


class Block(nnx.Module):
    """Attention among all tokens, then a feed-forward layer; norms without weights."""

    def __init__(self, config: ConnectorsConfig, heads: HeadsConfig, *, rngs: nnx.Rngs):
        width = heads.width
        self.heads = heads.heads
        self.norm = _norm(config, width, use_scale=False, rngs=rngs)
        self.q, self.k, self.v, self.out = (
            linear(width, width, rngs=rngs) for _ in range(4)
        )
        self.q_norm, self.k_norm = (_norm(config, width, rngs=rngs) for _ in range(2))
        self.gate = linear(width, self.heads, rngs=rngs) if config.gated else None
        self.up = linear(width, _HIDDEN * width, rngs=rngs)
        self.down = linear(_HIDDEN * width, width, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        tables: tuple[Float[Array, "L H A"], Float[Array, "L H A"]],
    ) -> Float[Array, "B L D"]:
        """Apply the block; see `rotary_tables`."""
        x = x + self._attend(self.norm(x), tables)
        hidden = jax.nn.gelu(self.up(self.norm(x)), approximate=True)
        return x + self.down(hidden)

    def _attend(self, x: Array, tables: tuple[Array, Array]) -> Array:
        shape = (*x.shape[:2], self.heads, -1)
        q = turn(self.q_norm(self.q(x)).reshape(shape), *tables)
        k = turn(self.k_norm(self.k(x)).reshape(shape), *tables)
        mixed = attend(q, k, self.v(x).reshape(shape))
        if self.gate is not None:
            mixed = mixed * (2.0 * jax.nn.sigmoid(self.gate(x)))[..., None]
        return self.out(mixed.reshape(x.shape))


class Connector(nnx.Module):
    """Registers in the place of padding, blocks, and a norm without weights."""

    def __init__(self, config: ConnectorsConfig, heads: HeadsConfig, *, rngs: nnx.Rngs):
        self.config, self.heads = config, heads
        shape = (config.registers, heads.width)
        self.registers = nnx.Param(jax.random.normal(rngs.params(), shape))
        self.blocks = stack_layers(
            lambda r: Block(config, heads, rngs=r), config.depth, rngs
        )
        self.norm = _norm(config, heads.width, use_scale=False, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B L D"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B L D"]:
        """Return a context, all of whose tokens are there to be looked at.

        Args:
            x: features.
            mask: False at padding, on whichever side.
        """
        x = place_registers(x, mask, self.registers[...])
        tables = rotary_tables(self.config, self.heads, x.shape[1])
        on_device = tuple(jnp.asarray(table) for table in tables)
        x = scan_layers(self.blocks, x, lambda block, x: block(x, on_device))
        return self.norm(x)


def _norm(config: ConnectorsConfig, width: int, **options) -> nnx.RMSNorm:
    return nnx.RMSNorm(width, epsilon=config.epsilon, **options)
