"""Inception-v1 I3D (Carreira and Zisserman, arXiv 1705.07750), RGB stream.

The variant that video generation papers use for FVD: TensorFlow's "same" padding, no
convolution bias, batch norm with epsilon 1e-5.

Upstream: piergiaj/pytorch-i3d, pytorch_i3d.py (InceptionI3d), which JavisVerse/JavisDiT
at b505b37 has as eval/javisbench/src/fvd/pytorch_i3d.py; `preprocess` is of
eval/javisbench/src/fvd/fvd.py (preprocess_single).
"""

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.nn.batch_norm import FixedBatchNorm
from avits_jax.nn.resize import crop, resize

SIDE = 224
NUM_CLASSES = 400
# Output channels of the branches: 1x1; 1x1 then 3x3; 1x1 then 3x3; pool then 1x1.
_MIXED = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
# Side of the pooling window (stride 2) before the mixed block of that index.
_POOL_BEFORE = {2: 3, 7: 2}


def preprocess(video: Float[Array, "N F H W 3"]) -> Float[Array, "N F 224 224 3"]:
    """Bring pixels in [0, 1] to [-1, 1], the short side to 224, centre cropped.

    Bilinear without antialias, as in the common FVD code.
    """
    height, width = video.shape[-3:-1]
    if height < width:
        size = (SIDE, math.ceil(width * SIDE / height))
    else:
        size = (math.ceil(height * SIDE / width), SIDE)
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return 2.0 * (crop(resize(video, size), top, left, (SIDE, SIDE)) - 0.5)


def _pool(
    x: Float[Array, "B T H W C"], side: int, stride: int, time: bool = True
) -> Float[Array, "B t h w C"]:
    """Take the largest value of a "same"-padded window; over space if not ``time``."""
    window = (side if time else 1, side, side)
    strides = (stride if time else 1, stride, stride)
    return nnx.max_pool(x, window, strides, padding="SAME")


class Unit(nnx.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int = 1, *, rngs: nnx.Rngs
    ):
        self.conv = nnx.Conv(
            inputs, outputs, (side,) * 3, strides=stride, use_bias=False, rngs=rngs
        )
        self.norm = FixedBatchNorm(outputs)

    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B t h w c"]:
        return nnx.relu(self.norm(self.conv(x)))


class Mixed(nnx.Module):
    """Four branches side by side, concatenated by channels."""

    def __init__(self, inputs: int, sizes: tuple[int, ...], *, rngs: nnx.Rngs):
        self.b0 = Unit(inputs, sizes[0], 1, rngs=rngs)
        self.b1a = Unit(inputs, sizes[1], 1, rngs=rngs)
        self.b1b = Unit(sizes[1], sizes[2], 3, rngs=rngs)
        self.b2a = Unit(inputs, sizes[3], 1, rngs=rngs)
        self.b2b = Unit(sizes[3], sizes[4], 3, rngs=rngs)
        self.b3b = Unit(inputs, sizes[5], 1, rngs=rngs)

    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B T H W c"]:
        branches = [
            self.b0(x),
            self.b1b(self.b1a(x)),
            self.b2b(self.b2a(x)),
            self.b3b(_pool(x, 3, 1)),
        ]
        return jnp.concatenate(branches, -1)


class I3d(nnx.Module):
    """Videos to Kinetics-400 logits, one row for every eight frames less one."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.List(
            [
                Unit(3, 64, 7, 2, rngs=rngs),
                Unit(64, 64, 1, rngs=rngs),
                Unit(64, 192, 3, rngs=rngs),
            ]
        )
        inputs, mixed = 192, []
        for sizes in _MIXED:
            mixed.append(Mixed(inputs, sizes, rngs=rngs))
            inputs = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        self.mixed = nnx.List(mixed)
        self.logits = nnx.Linear(inputs, NUM_CLASSES, rngs=rngs)

    def __call__(
        self, video: Float[Array, "B F 224 224 3"]
    ) -> Float[Array, "B T classes"]:
        """Return logits of preprocessed videos, ``T = ceil(F / 8) - 1`` of them each.

        FVD takes all of a video's logits as one row of features.

        Raises:
            ValueError: if there are fewer than nine frames.
        """
        if video.shape[1] < 9:
            raise ValueError(f"video must have at least 9 frames, got {video.shape[1]}")
        x = _pool(self.stem[0](video), 3, 2, time=False)
        x = _pool(self.stem[2](self.stem[1](x)), 3, 2, time=False)
        for index, block in enumerate(self.mixed):
            if index in _POOL_BEFORE:
                x = _pool(x, _POOL_BEFORE[index], 2)
            x = block(x)
        return self.logits(nnx.avg_pool(x, (2, 7, 7), padding="VALID")[:, :, 0, 0])
