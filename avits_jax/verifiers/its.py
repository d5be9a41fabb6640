"""How the inference-time-scaling search server reads a clip (mode ``its``).

It guesses the value range from the clip's own extremes and truncates instead of
rounding. The faults are kept here so that its numbers can be reproduced; every other
mode states the range and clips.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

INT16_PEAK = 32_767.0


def its_levels(video: Float[Array, "*B F H W C"]) -> Float[Array, "*B F H W C"]:
    """Return whole grey levels in [0, 255] of a clip whose range is guessed.

    Any value below 0 or above 1.1 means [-1, 1], otherwise [0, 1]: a clip in [-1, 1]
    that happens to hold no negative value comes out too bright.
    """
    axes = (-4, -3, -2, -1)
    low = jnp.min(video, axes, keepdims=True)
    high = jnp.max(video, axes, keepdims=True)
    signed = (low < 0.0) | (high > 1.1)
    unit = jnp.where(signed, (video + 1.0) / 2.0, video)
    return jnp.floor(jnp.clip(unit, 0.0, 1.0) * 255.0)


def its_samples(audio: Float[Array, "*B C S"]) -> Float[Array, "*B C S"]:
    """Return whole 16-bit samples of a waveform.

    Audio whose peak is above 1, however slightly, is taken to hold 16-bit samples
    already and is only truncated: it becomes silence but for a few -1 and 1.
    """
    peak = jnp.max(jnp.abs(audio), (-2, -1), keepdims=True)
    return jnp.trunc(jnp.where(peak > 1.0, audio, audio * INT16_PEAK))
