"""What may follow an upsampler: the small latents' statistics, and compression.

Both act on un-normalised latents. LTX's own pipelines have neither.

Source: huggingface/diffusers, src/diffusers/pipelines/ltx2/
pipeline_ltx2_latent_upsample.py (adain_filter_latent, tone_map_latents).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_ALL_BUT_CHANNELS = (1, 2, 3)


def _statistics(x: Float[Array, "N f h w C"]) -> tuple[Array, Array]:
    """Return mean and unbiased standard deviation ``[N, 1, 1, 1, C]``."""
    mean = jnp.mean(x, _ALL_BUT_CHANNELS, keepdims=True)
    return mean, jnp.std(x, _ALL_BUT_CHANNELS, ddof=1, keepdims=True)


def match_statistics(
    latents: Float[Array, "N F H W C"],
    reference: Float[Array, "N f h w C"],
    factor: float = 1.0,
) -> Float[Array, "N F H W C"]:
    """Move every channel's mean and spread towards a reference's (AdaIN).

    Statistics are of one clip's channel, over all frames and pixels, in float32:
    ``x + factor ((x - mean) / std * std' + mean' - x)``.

    Args:
        latents: upsampled.
        reference: what they were upsampled from.
        factor: 0 changes nothing, 1 gives the reference's statistics.
    """
    x = latents.astype(jnp.float32)
    mean, std = _statistics(x)
    wanted_mean, wanted_std = _statistics(reference.astype(jnp.float32))
    matched = (x - mean) / std * wanted_std + wanted_mean
    return (x + factor * (matched - x)).astype(latents.dtype)


def tone_map(
    latents: Float[Array, "N F H W C"], compression: float
) -> Float[Array, "N F H W C"]:
    """Shrink large values smoothly: ``x (1 - 0.8 s sigmoid(4 s (|x| - 1)))``.

    Args:
        latents: of any size.
        compression: in [0, 1]; ``s`` is three quarters of it, and 0 changes nothing.

    Raises:
        ValueError: ``compression`` is out of range.
    """
    if not 0 <= compression <= 1:
        raise ValueError(f"tone compression must be in [0, 1], got {compression}")
    if not compression:
        return latents
    share = 0.75 * compression
    x = latents.astype(jnp.float32)
    kept = 1 - 0.8 * share * jax.nn.sigmoid(4 * share * (jnp.abs(x) - 1))
    return (x * kept).astype(latents.dtype)
