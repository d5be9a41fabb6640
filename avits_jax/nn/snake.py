"""Periodic activations of BigVGAN, at twice the rate so that nothing folds back.

Lee et al., "BigVGAN", arXiv 2206.04658.

Upstream: huggingface/diffusers, src/diffusers/pipelines/ltx2/vocoder.py (SnakeBeta,
AntiAliasAct1d).
"""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

Signal = Float[Array, "B T C"]
Doubled = Float[Array, "B 2*T C"]
Halved = Float[Array, "B T//2 C"]
Filter = Float[Array, " K"]
_TAPS = 12
_TINY = 1e-9  # keeps the division by an amplitude of 0 finite


def low_pass(taps: int = _TAPS) -> Float[np.ndarray, " K"]:
    """Return the Kaiser-windowed sinc that cuts at half of Nyquist; its sum is 1.

    Checkpoints hold it, rounded as all their weights are. The window is that of 12 taps
    and a transition of 0.6 of Nyquist (Kaiser's formula for more than 50 dB).
    """
    attenuation = 2.285 * (_TAPS // 2 - 1) * np.pi * 1.2 + 7.95
    time = np.arange(taps) - (taps - 1) / 2
    filter_ = np.kaiser(taps, 0.1102 * (attenuation - 8.7)) * np.sinc(time / 2)
    return (filter_ / filter_.sum()).astype(np.float32)


def _edge(x: Signal, before: int, after: int) -> Float[Array, "B t C"]:
    """Repeat a signal's first and last number."""
    return jnp.pad(x, ((0, 0), (before, after), (0, 0)), mode="edge")


def double_rate(x: Signal, taps: Filter) -> Doubled:
    """Double a signal's rate by a low-pass filter; its ends are repeated.

    Here and in `halve_rate` shifted signals are added up, which fuses with what stands
    around it. With convolutions of an image of one channel LTX-2.3's whole vocoder took
    a CPU five times as long.

    Args:
        x: signal.
        taps: of the filter, which keeps a constant if their sum is 1.
    """
    margin = len(taps) // 2 - 1
    offset = 2 * margin + (len(taps) - 2) // 2
    batch, length, channels = x.shape
    x = _edge(x, margin, margin)
    phases = []
    for phase in range(2):
        parts = [
            taps[tap] * x[:, shift : shift + length]
            for shift in range(2 * margin + 1)
            if 0 <= (tap := phase + offset - 2 * shift) < len(taps)
        ]
        phases.append(reduce(jnp.add, parts))
    return 2 * jnp.stack(phases, 2).reshape(batch, 2 * length, channels)


def halve_rate(x: Signal, taps: Filter) -> Halved:
    """Divide a signal's rate by two behind a low-pass filter; see `double_rate`."""
    size, length = len(taps), x.shape[1] // 2
    x = _edge(x, (size - 1) // 2, size // 2 + (size - 1) % 2)
    phases = x.reshape(len(x), -1, 2, x.shape[2])
    parts = [
        taps[tap] * phases[:, tap // 2 : tap // 2 + length, tap % 2]
        for tap in range(size)
    ]
    return reduce(jnp.add, parts)


@jax.jit  # traced once for the dozens of activations of a stage
def _snake(
    x: Signal,
    alpha: Float[Array, " C"],
    beta: Float[Array, " C"],
    up: Filter,
    down: Filter,
) -> Signal:
    """Apply the activation at twice the rate."""
    x = double_rate(x, up)
    x = x + jnp.sin(x * jnp.exp(alpha)) ** 2 / (jnp.exp(beta) + _TINY)
    return halve_rate(x, down)


class SnakeBeta(nnx.Module):
    """Several activations ``x + sin(alpha x)^2 / beta``, at twice the signal's rate.

    Rate alpha and amplitude beta belong to a channel and are stored as logarithms;
    every activation has its own filters to double the rate and to halve it again.
    """

    def __init__(self, count: int, channels: int, taps: int = _TAPS):
        """Build the activations.

        Args:
            count: how many there are.
            channels: of the signal.
            taps: of the filters.
        """
        filters = np.tile(low_pass(taps), (count, 1))
        self.alpha = nnx.Param(jnp.zeros((count, channels)))
        self.beta = nnx.Param(jnp.zeros((count, channels)))
        self.up_filter = nnx.Param(jnp.asarray(filters))
        self.down_filter = nnx.Param(jnp.asarray(filters))

    def __call__(self, x: Signal, index: int = 0) -> Signal:
        """Apply one of them."""

        def own(weight: nnx.Param) -> Array:
            one = jax.lax.index_in_dim(weight[...], index, keepdims=False)
            return one.astype(x.dtype)

        weights = (self.alpha, self.beta, self.up_filter, self.down_filter)
        return _snake(x, *map(own, weights))
