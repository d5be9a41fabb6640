"""Blocks of the video decoder and encoder: residual stages, doublings, halvings.

Arrays are ``[N, T, H, W, C]``, in the dtype of the weights; the norm's statistics are
float32.

Upstream: huggingface/diffusers,
src/diffusers/models/autoencoders/autoencoder_kl_ltx2.py (LTX2VideoResnetBlock3d,
LTX2VideoUpsampler3d, LTX2VideoDownsampler3d).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.video_vae.config import Resample
from avits_jax.nn.convolution import RepeatConv3d
from avits_jax.nn.positions import embed_number
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.nn.vectors import rms_normalise

_EPSILON = 1e-8
_WAVES = 256
Stride = tuple[int, int, int]
Video = Float[Array, "N T H W C"]
Resampled = Float[Array, "N t h w D"]


def pixel_norm(x: Float[Array, "*B C"]) -> Float[Array, "*B C"]:
    """Divide every position by its root mean square over channels."""
    return rms_normalise(x, _EPSILON).astype(x.dtype)


def modulate(
    x: Float[Array, "*B C"], shift: Float[Array, " C"], scale: Float[Array, " C"]
) -> Float[Array, "*B C"]:
    """Scale and shift channels, in float32."""
    return (x.astype(jnp.float32) * (1 + scale) + shift).astype(x.dtype)


def unfold(x: Video, stride: Stride) -> Resampled:
    """Turn channels ``(time, row, column, C)`` into more frames, rows and columns.

    What was the first frame becomes one only: the others of it are dropped, so that
    ``T`` frames become ``(T - 1) * stride[0] + 1``.
    """
    n, t, h, w, _ = x.shape
    st, sh, sw = stride
    x = x.reshape(n, t, h, w, st, sh, sw, -1).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(n, t * st, h * sh, w * sw, -1)[:, st - 1 :]


def fold(x: Video, stride: Stride) -> Resampled:
    """Turn frames, rows and columns into channels ``(C, time, row, column)``."""
    n, t, h, w, c = x.shape
    st, sh, sw = stride
    x = x.reshape(n, t // st, st, h // sh, sh, w // sw, sw, c)
    x = x.transpose(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(n, t // st, h // sh, w // sw, -1)


def positions_first(
    x: Float[Array, "*B C"], order: Sequence[int]
) -> Float[Array, "*B C"]:
    """Turn channels ``(C, position)`` into ``(position, C)``, positions in an order.

    With channels innermost, `unfold` moves whole vectors, which is quick anywhere. Cut
    and joined, since an innermost axis of 2 fills a TPU's memory tiles with padding.
    """
    return jnp.concatenate([x[..., each :: len(order)] for each in order], -1)


class Level(nnx.Module):
    """Embedding of how noisy latents are: cosines and sines, then two matrices."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.up = nnx.Linear(_WAVES, width, rngs=rngs)
        self.down = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, level: Float[Array, ""]) -> Float[Array, " D"]:
        return self.down(jax.nn.silu(self.up(embed_number(level, _WAVES))))


class ResidualBlock(nnx.Module):
    """Two normalised convolutions that are added to their input."""

    def __init__(
        self,
        width: int,
        *,
        causal: bool = False,
        reflect: bool = False,
        conditioned: bool = False,
        rngs: nnx.Rngs,
    ):
        conv = partial(
            RepeatConv3d, width, width, causal=causal, reflect=reflect, rngs=rngs
        )
        self.conv1, self.conv2 = conv(), conv()
        self.table = nnx.Param(jnp.zeros((4, width))) if conditioned else None

    def __call__(self, x: Video, rows: Float[Array, "4 C"] | None = None) -> Video:
        """Add to ``x``; ``rows`` are shift and scale of either norm, less the table."""
        if rows is not None and self.table is not None:
            rows = rows + self.table[...].astype(jnp.float32)
        y = x
        for index, conv in enumerate((self.conv1, self.conv2)):
            y = pixel_norm(y)
            if rows is not None:
                y = modulate(y, *rows[2 * index : 2 * index + 2])
            y = conv(jax.nn.silu(y))
        return x + y


class Stage(nnx.Module):
    """Residual blocks of one width, stacked."""

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        causal: bool = False,
        reflect: bool = False,
        conditioned: bool = False,
        rngs: nnx.Rngs,
    ):
        make = partial(
            ResidualBlock,
            width,
            causal=causal,
            reflect=reflect,
            conditioned=conditioned,
        )
        self.layers = stack_layers(lambda rngs: make(rngs=rngs), depth, rngs)
        self.level = Level(4 * width, rngs=rngs) if conditioned else None

    def __call__(self, x: Video, level: Float[Array, ""] | None = None) -> Video:
        """Send ``x`` through the blocks, which may be told the scaled noise level."""
        if self.level is None or level is None:
            return scan_layers(self.layers, x)
        rows = self.level(level).reshape(4, -1)
        return scan_layers(self.layers, x, lambda layer, x: layer(x, rows))


class Upsample(nnx.Module):
    """A convolution whose channels become frames, rows and columns."""

    def __init__(self, width: int, sizes: Resample, *, reflect: bool, rngs: nnx.Rngs):
        self.sizes = sizes
        outputs = width * sizes.fold // sizes.factor
        self.conv = RepeatConv3d(width, outputs, reflect=reflect, rngs=rngs)

    def __call__(self, x: Video, level: Float[Array, ""] | None = None) -> Resampled:
        """Double the axes that ``sizes`` says; ``level`` is not looked at."""
        del level
        sizes = self.sizes
        reorder = partial(positions_first, order=range(sizes.fold))
        y = unfold(self.conv(x, reorder), sizes.stride)
        if not sizes.residual:
            return y
        straight = unfold(reorder(x), sizes.stride)
        return y + jnp.tile(straight, y.shape[-1] // straight.shape[-1])


class Downsample(nnx.Module):
    """Frames, rows and columns that become channels, of a convolution and straight."""

    def __init__(self, width: int, sizes: Resample, *, rngs: nnx.Rngs):
        self.sizes = sizes
        outputs = width * sizes.factor // sizes.fold
        self.conv = RepeatConv3d(width, outputs, causal=True, rngs=rngs)

    def __call__(self, x: Video) -> Resampled:
        """Shrink the axes that ``sizes`` says, the first frame repeated to fill up."""
        stride = self.sizes.stride
        none = (0, 0)
        x = jnp.pad(x, (none, (stride[0] - 1, 0), none, none, none), "edge")
        y = fold(self.conv(x), stride)
        straight = fold(x, stride).reshape(*y.shape, -1)
        return y + jnp.mean(straight, -1, dtype=jnp.float32).astype(x.dtype)
