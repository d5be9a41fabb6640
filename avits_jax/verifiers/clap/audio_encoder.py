"""HTSAT, CLAP's audio encoder (Chen et al., arXiv 2202.00874), without fusion.

The spectrogram is cut into stretches of time that are stacked along the frequency axis
to a square image, which a Swin transformer (arXiv 2103.14030) reads.

Upstream: huggingface/transformers, src/transformers/models/clap/modeling_clap.py
(ClapAudioEncoder), after LAION-AI/CLAP.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.nn.batch_norm import FixedBatchNorm
from avits_jax.nn.resize import cubic_torch, resize
from avits_jax.nn.stacking import stack_layers
from avits_jax.verifiers.clap.config import AudioConfig


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=1e-5, use_fast_variance=False, rngs=rngs)


def windows_of(
    x: Float[Array, "B H W D"], side: int
) -> Float[Array, "b {side}*{side} D"]:
    """Cut maps into square windows, row by row."""
    batch, height, width, features = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, features)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * side, features)


def join_windows(
    x: Float[Array, "b {side}*{side} D"], height: int, width: int, side: int
) -> Float[Array, "B H W D"]:
    """Undo `windows_of`."""
    x = x.reshape(-1, height // side, width // side, side, side, x.shape[-1])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, height, width, x.shape[-1])


def relative_index(side: int) -> np.ndarray:
    """Return the bias table's row for every pair of positions ``[side^2, side^2]``."""
    rows, columns = np.divmod(np.arange(side * side), side)
    down = rows[:, None] - rows[None] + side - 1
    right = columns[:, None] - columns[None] + side - 1
    return down * (2 * side - 1) + right


def shift_mask(height: int, width: int, side: int, shift: int) -> np.ndarray:
    """Mark pairs of positions ``[windows, side^2, side^2]`` that were neighbours.

    A shifted map wraps around, so a window at its edge holds up to four regions that
    must not see each other.
    """

    def regions(length: int) -> np.ndarray:
        position = np.arange(length)
        return (position >= length - side).astype(int) + (position >= length - shift)

    region = 3 * regions(height)[:, None] + regions(width)[None]
    region = region.reshape(height // side, side, width // side, side)
    region = region.transpose(0, 2, 1, 3).reshape(-1, side * side)
    return region[:, :, None] == region[:, None]


class WindowAttention(nnx.Module):
    """Self-attention inside windows, with a learned bias per relative position."""

    def __init__(self, width: int, heads: int, side: int, *, rngs: nnx.Rngs):
        self.heads, self.side = heads, side
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.position_bias = nnx.Param(
            0.02 * jax.random.normal(rngs.params(), ((2 * side - 1) ** 2, heads))
        )

    def __call__(
        self, x: Float[Array, "b L D"], mask: Bool[np.ndarray, "w L L"] | None
    ) -> Float[Array, "b L D"]:
        """Attend within windows.

        ``mask`` holds one square per window of a map; None lets all see all.
        """
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (f(x).reshape(shape) for f in (self.query, self.key, self.value))
        bias = self.position_bias[...][relative_index(self.side)].transpose(2, 0, 1)
        if mask is None:
            mixed = jax.nn.dot_product_attention(q, k, v, bias=bias[None])
        else:
            every = jnp.tile(mask, (x.shape[0] // len(mask), 1, 1))[:, None]
            mixed = jax.nn.dot_product_attention(q, k, v, bias=bias[None], mask=every)
        return self.out(mixed.reshape(x.shape))


class SwinBlock(nnx.Module):
    """Pre-norm block of window attention and exact GELU."""

    def __init__(
        self, width: int, heads: int, side: int, ratio: float, *, rngs: nnx.Rngs
    ):
        self.side = side
        self.norm1 = _norm(width, rngs)
        self.attention = WindowAttention(width, heads, side, rngs=rngs)
        self.norm2 = _norm(width, rngs)
        self.up = nnx.Linear(width, int(ratio * width), rngs=rngs)
        self.down = nnx.Linear(int(ratio * width), width, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B H W D"], shift: int
    ) -> Float[Array, "B H W D"]:
        """Apply the block to windows moved down and right by ``shift`` patches.

        A map that windows do not divide is filled with zeros at its end, as the
        original does, which the windows see.
        """
        height, width = x.shape[1:3]
        margins = [(0, 0), (0, -height % self.side), (0, -width % self.side), (0, 0)]
        padded = jnp.pad(self.norm1(x), margins)
        rows, columns = padded.shape[1:3]
        mask = shift_mask(rows, columns, self.side, shift) if shift else None
        moved = jnp.roll(padded, (-shift, -shift), (1, 2))
        mixed = self.attention(windows_of(moved, self.side), mask)
        joined = join_windows(mixed, rows, columns, self.side)
        mixed = jnp.roll(joined, (shift, shift), (1, 2))
        x = x + mixed[:, :height, :width]
        return x + self.down(jax.nn.gelu(self.up(self.norm2(x)), approximate=False))


class Merge(nnx.Module):
    """Halve the map: four neighbours become one patch of twice the width."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.norm = _norm(4 * width, rngs)
        self.reduction = nnx.Linear(4 * width, 2 * width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[Array, "B H W D"]) -> Float[Array, "B h w d"]:
        order = ((0, 0), (1, 0), (0, 1), (1, 1))
        parts = [x[:, row::2, column::2] for row, column in order]
        return self.reduction(self.norm(jnp.concatenate(parts, -1)))


class Stage(nnx.Module):
    """Blocks at one resolution, every other one shifted, then a merge if not the last.

    The blocks are stacked and scanned in pairs, since shifts are static.
    """

    def __init__(self, config: AudioConfig, index: int, *, rngs: nnx.Rngs):
        width = config.width * 2**index
        grid = config.image_size // config.patch_size // 2**index
        side = min(config.window, grid)
        self.depth = config.depths[index]
        self.shift = 0 if grid <= config.window else side // 2
        self.blocks = stack_layers(
            lambda rngs: SwinBlock(
                width, config.heads[index], side, config.mlp_ratio, rngs=rngs
            ),
            self.depth,
            rngs,
        )
        last = index == len(config.depths) - 1
        self.merge = None if last else Merge(width, rngs=rngs)

    def __call__(self, x: Float[Array, "B H W D"]) -> Float[Array, "B h w d"]:
        graph, weights = nnx.split(self.blocks)
        paired = self.depth // 2 * 2

        def pair(x, two):
            for number, shift in enumerate((0, self.shift)):
                one = jax.tree.map(lambda w, n=number: w[n], two)
                x = nnx.merge(graph, one)(x, shift)
            return x, None

        pairs = jax.tree.map(lambda w: w[:paired].reshape(-1, 2, *w.shape[1:]), weights)
        x, _ = jax.lax.scan(pair, x, pairs)
        if paired < self.depth:
            x = nnx.merge(graph, jax.tree.map(lambda w: w[-1], weights))(x, 0)
        return x if self.merge is None else self.merge(x)


class AudioEncoder(nnx.Module):
    """Log-mel spectrogram to one vector."""

    def __init__(self, config: AudioConfig, *, rngs: nnx.Rngs):
        self.folds, self.side = config.folds, config.image_size
        size = (config.patch_size, config.patch_size)
        self.mel_norm = FixedBatchNorm(config.mel_bins)
        self.patch = nnx.Conv(
            1, config.width, size, strides=size, padding="VALID", rngs=rngs
        )
        self.patch_norm = _norm(config.width, rngs)
        self.stages = nnx.List(
            [Stage(config, index, rngs=rngs) for index in range(len(config.depths))]
        )
        self.norm = _norm(config.out_width, rngs)

    def fold(self, mel: Float[Array, "B T M"]) -> Float[Array, "B side side"]:
        """Stretch time to ``folds * side`` frames and stack its parts by frequency.

        Raises:
            ValueError: if there are more frames than the square holds.
        """
        batch, frames, bands = mel.shape
        if frames > self.folds * self.side:
            raise ValueError(
                f"mel must have at most {self.folds * self.side} frames, got {frames}"
            )
        size = (self.folds * self.side, bands)
        image = resize(mel[..., None], size, cubic_torch, align_corners=True)[..., 0]
        image = image.reshape(batch, self.folds, self.side, bands)
        return image.transpose(0, 1, 3, 2).reshape(batch, self.side, self.side)

    def patches(self, mel: Float[Array, "B T M"]) -> Float[Array, "B H W D"]:
        """Embed the folded spectrogram's patches, in the weights' dtype."""
        image = self.fold(self.mel_norm(mel)).astype(self.patch.kernel.dtype)
        return self.patch_norm(self.patch(image[..., None]))

    def hidden(self, mel: Float[Array, "B T M"]) -> Float[Array, "B H W D"]:
        """Return the last, normalised map: time along W, folds and bands along H."""
        x = self.patches(mel)
        for stage in self.stages:
            x = stage(x)
        return self.norm(x)

    def __call__(self, mel: Float[Array, "B T M"]) -> Float[Array, "B D"]:
        """Return the mean over the last map."""
        return jnp.mean(self.hidden(mel), (1, 2))
