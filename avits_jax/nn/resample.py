"""Change a waveform's sampling rate by windowed-sinc interpolation, in-graph.

Upstream: pytorch/audio, src/torchaudio/functional/functional.py (resample).
"""

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_ZEROS = 6  # zero crossings kept on each side of the sinc
_ROLLOFF = 0.99


@lru_cache(maxsize=16)
def _filters(source: int, target: int) -> tuple[np.ndarray, int]:
    """Return a filter per output phase ``[target, taps]``, and taps before a sample."""
    cutoff = min(source, target) * _ROLLOFF
    margin = math.ceil(_ZEROS * source / cutoff)
    taps = np.arange(-margin, margin + source) / source
    time = (taps[None] - np.arange(target)[:, None] / target) * cutoff
    time = np.clip(time, -_ZEROS, _ZEROS)
    window = np.cos(time * np.pi / _ZEROS / 2) ** 2
    return (np.sinc(time) * window * cutoff / source).astype(np.float32), margin


def resample(
    audio: Float[Array, "*B S"],
    source_rate: int,
    target_rate: int,
    *,
    pad_mode: str = "constant",
) -> Float[Array, "*B T"]:
    """Resample to ``ceil(S * target_rate / source_rate)`` samples.

    Equals torchaudio's ``sinc_interp_hann`` with width 6 and rolloff 0.99: a polyphase
    filter bank whose Hann-windowed sinc cuts at 0.99 of the lower Nyquist frequency.

    Args:
        audio: waveforms at ``source_rate`` Hz.
        source_rate, target_rate: positive whole Hz.
        pad_mode: what is beyond the ends: "constant" (zeros, as torchaudio has it) or
            "edge" (the first and the last sample again).

    Raises:
        ValueError: if a rate is not positive.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(
            f"source_rate and target_rate must be positive, got {source_rate} and "
            f"{target_rate}"
        )
    divisor = math.gcd(source_rate, target_rate)
    source, target = source_rate // divisor, target_rate // divisor
    if source == target:
        return audio
    filters, margin = _filters(source, target)
    samples = audio.shape[-1]
    flat = jnp.pad(
        audio.reshape(-1, 1, samples),
        ((0, 0), (0, 0), (margin, margin + source)),
        mode=pad_mode,
    )
    phases = jax.lax.conv_general_dilated(
        flat,
        jnp.asarray(filters, audio.dtype)[:, None],
        window_strides=(source,),
        padding="VALID",
        precision=jax.lax.Precision.HIGHEST,
    )
    length = -(-samples * target // source)
    out = jnp.swapaxes(phases, 1, 2).reshape(flat.shape[0], -1)[:, :length]
    return out.reshape(*audio.shape[:-1], length)
