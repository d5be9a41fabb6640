"""Grey levels and the normalisation of CLIP's image encoders."""

import jax.numpy as jnp
from jaxtyping import Array, Float

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def to_levels(
    video: Float[Array, "*B 3"], *, truncate: bool = False
) -> Float[Array, "*B 3"]:
    """Turn pictures in [0, 1] into whole grey levels in [0, 255], kept as floats.

    Args:
        video: values outside [0, 1] are clipped.
        truncate: round down, as a cast to uint8 does, instead of to the nearest level.
    """
    levels = 255.0 * jnp.clip(video, 0.0, 1.0)
    return jnp.floor(levels if truncate else levels + 0.5)


def normalise(
    levels: Float[Array, "*B 3"],
    mean: tuple[float, float, float] = CLIP_MEAN,
    std: tuple[float, float, float] = CLIP_STD,
) -> Float[Array, "*B 3"]:
    """Normalise grey levels in [0, 255]: ``(levels / 255 - mean) / std``."""
    dtype = levels.dtype
    return (levels / 255.0 - jnp.asarray(mean, dtype)) / jnp.asarray(std, dtype)
