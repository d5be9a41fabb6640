"""Convolutions as one matrix product over shifted copies.

XLA's CPU backend leaves its fast convolution behind inside loops (`lax.scan`,
`lax.map`), where training steps of mini's frame autoencoder took 20 times longer; a
matrix product is fast everywhere.
"""

import jax
import jax.numpy as jnp
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
        # The last axis first, so that columns are in the order of the kernel's rows.
        for axis in reversed(range(len(size))):
            x = self._shifted(x, axis + 1, size[axis], out[axis])
        return x @ kernel.reshape(-1, kernel.shape[-1]) + self.bias[...]

    def _shifted(self, x: Array, axis: int, size: int, out: int) -> Array:
        """Return what the taps along one axis read, side by side in the last axis."""
        reach = (out - 1) * self.stride + 1
        taps = [
            jax.lax.slice_in_dim(x, tap, tap + reach, self.stride, axis)
            for tap in range(size)
        ]
        return jnp.concatenate(taps, -1)
