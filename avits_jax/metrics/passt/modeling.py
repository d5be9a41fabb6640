"""PaSST (Koutini et al., arXiv 2110.05069): a transformer on spectrogram patches.

Positions along time and frequency are two tables whose rows are added, so that a
shorter sound uses the first columns. Nothing is left out as in training (patchout).

Upstream: kkoutini/passt_hear21, hear21passt/models/passt.py (PaSST).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.passt.config import PasstConfig
from avits_jax.metrics.sound import SoundFeatures
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.nn.vit import Block, prepend

_EPSILON = 1e-6
_HEAD_EPSILON = 1e-5


def _table(rows: int, width: int, rngs: nnx.Rngs) -> nnx.Param:
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, width)))


class Passt(nnx.Module):
    """Spectrograms to features and logits of AudioSet's classes."""

    def __init__(self, config: PasstConfig, *, rngs: nnx.Rngs):
        self.config = config
        width, sides = config.width, (config.patch_size,) * 2
        self.embed = nnx.Conv(
            1, width, sides, strides=config.stride, padding="VALID", rngs=rngs
        )
        self.first = _table(2, width, rngs)
        self.first_position = _table(2, width, rngs)
        self.row_position = _table(config.rows, width, rngs)
        self.column_position = _table(config.columns, width, rngs)
        self.blocks = stack_layers(
            lambda r: Block(width, config.heads, config.hidden, _EPSILON, rngs=r),
            config.depth,
            rngs,
        )
        self.norm = nnx.LayerNorm(width, epsilon=_EPSILON, rngs=rngs)
        self.head_norm = nnx.LayerNorm(width, epsilon=_HEAD_EPSILON, rngs=rngs)
        self.head = nnx.Linear(width, config.num_classes, rngs=rngs)

    def tokens(self, mel: Float[Array, "B M T"]) -> Float[Array, "B L D"]:
        """Embed class and distillation token, and patches, with their positions.

        Raises:
            ValueError: the spectrogram has more columns of patches than positions.
        """
        x = self.embed(mel[..., None].astype(self.embed.kernel.dtype))
        count = x.shape[2]
        if count > self.config.columns:
            raise ValueError(
                f"mel must have at most {self.config.columns} columns of patches, got "
                f"{count}"
            )
        places = self.row_position[...][:, None] + self.column_position[...][:count]
        x = (x + places.astype(x.dtype)).reshape(len(x), -1, x.shape[-1])
        return prepend(self.first[...] + self.first_position[...], x)

    def __call__(self, mel: Float[Array, "B M T"]) -> SoundFeatures:
        """Return features ``[B, width]``, and logits ``[B, num_classes]``."""
        x = scan_layers(self.blocks, self.tokens(mel))
        features = jnp.mean(self.norm(x[:, :2]), 1)
        logits = self.head(self.head_norm(features))
        return SoundFeatures(features.astype(jnp.float32), logits.astype(jnp.float32))
