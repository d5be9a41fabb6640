"""AudioCLIP's spectrogram, of learned filters (frequency B-spline wavelets), in-graph.

Float32 throughout: a wave in [-1, 1], as JavisBench hands it over, is left with steps
of 1/256 by the rescaling, and silence with rounding noise, so that the order of its
operations is part of the metric.

Upstream: AndreyGuzhov/AudioCLIP, model/esresnet/fbsp.py (LinearFBSP) and
utils/transforms.py (scale, frame_signal), which JavisVerse/JavisDiT at b505b37 has in
eval/javisbench/src/AudioCLIP.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy.signal import get_window

from avits_jax.metrics.audioclip.config import AudioClipConfig
from avits_jax.nn.fbank import framed
from avits_jax.nn.rounding import divide, float32_line

_EPSILON = 1e-8
_FLOOR = 1e-18
_LOWEST, _HIGHEST = -32_768.0, 32_767.0


def rescaled(wave: Float[Array, "*B S"]) -> Float[Array, "*B S"]:
    """Bring a wave of 16-bit numbers to [-1, 1], in the original's order."""
    shifted = (wave - _LOWEST) * 2.0
    return divide(shifted, _HIGHEST - _LOWEST) - 1.0


def frames_of(
    wave: Float[Array, "*B S"], length: int, hop: int
) -> Float[Array, "*B T length"]:
    """Cut overlapping frames; zeros on both sides complete the last one."""
    samples = wave.shape[-1]
    count = 1 + max(-(-(samples - length) // hop), 0)
    missing = max((count - 1) * hop + length - samples, 0)
    margin = (missing // 2, missing - missing // 2)
    padded = jnp.pad(wave, [(0, 0)] * (wave.ndim - 1) + [margin])
    return framed(padded, length, hop)


class Filters(nnx.Module):
    """Complex filters: B-splines of learned order, width and centre frequency."""

    def __init__(self, num_filters: int, length: int):
        self.length = length
        # Their values before training: plain waves at whole frequencies.
        self.order = nnx.Param(jnp.zeros(num_filters))
        self.bandwidth = nnx.Param(jnp.ones(num_filters))
        self.centre = nnx.Param(jnp.arange(num_filters, dtype=jnp.float32))

    def __call__(self) -> tuple[Float[Array, "K n"], Float[Array, "K n"]]:
        """Return real and imaginary parts of all filters."""
        line = np.float32(np.pi) * float32_line(-1.0, 1.0, self.length)
        time = line + np.float32(_EPSILON)
        order, bandwidth, centre = (
            each[...].astype(jnp.float32)[:, None]
            for each in (self.order, self.bandwidth, self.centre)
        )
        angle = bandwidth * time / (order + _EPSILON)
        sinc = jnp.where(angle == 0, 1.0, jnp.sin(angle) / angle)
        magnitude = jnp.square(sinc) ** (0.5 * order)
        # A negative number to a fractional power is complex.
        phase = order * jnp.where(sinc < 0, jnp.float32(np.pi), 0.0)
        real, imaginary = magnitude * jnp.cos(phase), magnitude * jnp.sin(phase)
        wave = (jnp.cos(centre * time), -jnp.sin(centre * time))
        scale, root = jnp.sqrt(bandwidth), np.float32(self.length**0.5)
        return (
            scale * (real * wave[0] - imaginary * wave[1]) / root,
            scale * (real * wave[1] + imaginary * wave[0]) / root,
        )


class Spectrogram(nnx.Module):
    """Waves of 16-bit numbers to decibels in three bands, side by side as colours."""

    def __init__(self, config: AudioClipConfig):
        self.hop, self.length = config.hop_length, config.win_length
        self.filters = Filters(config.bins, config.n_fft)

    def __call__(self, wave: Float[Array, "B S"]) -> Float[Array, "B K T 3"]:
        """Return the decibels of a rescaled wave.

        Low, middle and high third of the frequencies are the three channels; what is
        left over of the highest is dropped.
        """
        window = get_window("blackmanharris", self.length).astype(np.float32)
        frames = frames_of(wave, self.length, self.hop) * window
        front = (self.filters.length - self.length) // 2
        # One array of both parts would be computed on one core of a CPU.
        real, imaginary = (
            jnp.einsum(
                "btn,kn->bkt",
                frames,
                part[:, front : front + self.length],
                precision=jax.lax.Precision.HIGHEST,
            )
            for part in self.filters()
        )
        power = jnp.square(real) + jnp.square(imaginary)
        third = power.shape[1] // 3
        bands = power[:, : 3 * third].reshape(len(power), 3, third, -1)
        bands = jnp.where(bands > 0, bands, _FLOOR)
        return jnp.moveaxis(10.0 * jnp.log10(bands), 1, -1)
