"""Inception-v1 I3D (Carreira and Zisserman, arXiv 1705.07750), RGB stream.

The variant that video generation papers use for FVD: TensorFlow's "same" padding, no
convolution bias, batch norm with epsilon 1e-5.

Upstream: piergiaj/pytorch-i3d, pytorch_i3d.py (InceptionI3d), which JavisVerse/JavisDiT
at b505b37 has as eval/javisbench/src/fvd/pytorch_i3d.py.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.metrics.i3d.config import I3dConfig
from avits_jax.nn.residual import ConvNorm

# Side of the pooling window (stride 2) before the mixed block of that index.
_POOL_BEFORE = {2: 3, 7: 2}


def _pool(
    x: Float[Array, "B T H W C"], side: int, stride: int, time: bool = True
) -> Float[Array, "B t h w C"]:
    """Take the largest value of a "same"-padded window; over space if not ``time``.

    One axis after the other, which compares less often.
    """
    for axis in (0, 1, 2) if time else (1, 2):
        window, strides = [1, 1, 1], [1, 1, 1]
        window[axis], strides[axis] = side, stride
        x = nnx.max_pool(x, tuple(window), tuple(strides), padding="SAME")
    return x


class Unit(nnx.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int = 1, *, rngs: nnx.Rngs
    ):
        size = (side,) * 3
        self.layer = ConvNorm(inputs, outputs, size, stride, padding="SAME", rngs=rngs)

    def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B t h w c"]:
        return nnx.relu(self.layer(x))


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

    def __init__(self, config: I3dConfig, *, rngs: nnx.Rngs):
        first, second, third = config.stem
        self.stem = nnx.List(
            [
                Unit(3, first, 7, 2, rngs=rngs),
                Unit(first, second, 1, rngs=rngs),
                Unit(second, third, 3, rngs=rngs),
            ]
        )
        inputs, mixed = third, []
        for sizes in config.mixed:
            mixed.append(Mixed(inputs, sizes, rngs=rngs))
            inputs = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        self.mixed = nnx.List(mixed)
        self.logits = nnx.Linear(inputs, config.num_classes, rngs=rngs)

    def stages(
        self, video: Float[Array, "B F 224 224 3"]
    ) -> list[Float[Array, "B t h w c"]]:
        """Return the maps after every convolution of the stem and every mixed block."""
        x = video.astype(self.logits.kernel.dtype)
        maps = [self.stem[0](x)]
        maps.append(self.stem[1](_pool(maps[-1], 3, 2, time=False)))
        maps.append(self.stem[2](maps[-1]))
        x = _pool(maps[-1], 3, 2, time=False)
        for index, block in enumerate(self.mixed):
            if index in _POOL_BEFORE:
                x = _pool(x, _POOL_BEFORE[index], 2)
            x = block(x)
            maps.append(x)
        return maps

    def __call__(
        self, video: Float[Array, "B F 224 224 3"]
    ) -> Float[Array, "B T classes"]:
        """Return float32 logits of prepared videos, ``T = ceil(F / 8) - 1`` rows each.

        Raises:
            ValueError: if there are fewer than nine frames.
        """
        if video.shape[1] < 9:
            raise ValueError(f"video must have at least 9 frames, got {video.shape[1]}")
        last = self.stages(video)[-1]
        pooled = nnx.avg_pool(last, (2, 7, 7), padding="VALID")[:, :, 0, 0]
        return self.logits(pooled).astype(jnp.float32)
