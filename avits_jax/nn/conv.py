"""Convolutions as one matrix product over shifted copies.

XLA's CPU backend leaves its fast convolution behind inside loops (`lax.scan`,
`lax.map`), where training steps of mini's frame autoencoder took 20 times longer; a
matrix product is fast everywhere.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float


class Conv(nnx.Module):
    """Convolution over one or two axes with "SAME" padding, for small kernels.

    Input ``[B, *space, inputs]``, output ``[B, *space / stride, outputs]``; the kernel
    is ``[*size, inputs, outputs]`` as in `flax.nnx.Conv`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, ...],
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stride = stride
        init = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (*size, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: Float[Array, "B *space C"]) -> Float[Array, "B *out O"]:
        kernel = self.kernel[...]
        size, stride = kernel.shape[:-2], self.stride
        space = x.shape[1:-1]
        out = [-(-n // stride) for n in space]
        short = [
            max(0, (m - 1) * stride + k - n)
            for m, k, n in zip(out, size, space, strict=True)
        ]
        pad = [(0, 0), *((s // 2, s - s // 2) for s in short), (0, 0)]
        x = jnp.pad(x, pad)
        shifted = [
            x[(slice(None), *self._window(offset, out))]
            for offset in itertools.product(*map(range, size))
        ]
        columns = jnp.concatenate(shifted, -1)
        return columns @ kernel.reshape(-1, kernel.shape[-1]) + self.bias[...]

    def _window(self, offset: tuple[int, ...], out: list[int]) -> list[slice]:
        """Return the positions that one kernel tap reads."""
        last = np.multiply(np.subtract(out, 1), self.stride)
        return [
            slice(start, start + int(end) + 1, self.stride)
            for start, end in zip(offset, last, strict=True)
        ]
