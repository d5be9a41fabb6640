"""CAVP's score of given features.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/metrics.py
(calc_cavp_score).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

_FLOOR = 1e-6


def cavp_score(
    video: Float[Array, "*B T E"], sound: Float[Array, "*B t E"]
) -> Float[Array, "*B"]:
    """Return the mean cosine of features of the same quarter seconds.

    In [-1, 1]; higher is better.

    Args:
        video: features of frames.
        sound: features of the sound, as many.

    Raises:
        ValueError: if there is not one of each for every quarter second.
    """
    if video.shape != sound.shape:
        raise ValueError(
            f"video and sound must have the same shape, got {video.shape} and "
            f"{sound.shape}"
        )
    lengths = [
        jnp.maximum(jnp.linalg.norm(each, axis=-1), _FLOOR) for each in (video, sound)
    ]
    cosine = jnp.sum(video * sound, -1) / (lengths[0] * lengths[1])
    return jnp.mean(cosine, -1)
