"""What makes a clip fail: NaN, infinity, too little to look at or to hear."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avits_jax.types import Media


def broken(x: Float[Array, "N ..."]) -> Bool[Array, " N"]:
    """Mark candidates that hold NaN or infinity anywhere, whether it is read or not."""
    return jnp.any(~jnp.isfinite(x), tuple(range(1, x.ndim)))


def failed_as_nan(
    x: Float[Array, "N ..."], *failed: Bool[Array, " N"]
) -> Float[Array, "N ..."]:
    """Return scores, or embeddings, with NaN where any of the flags is set."""
    for flags in failed:
        x = jnp.where(flags.reshape(-1, *[1] * (x.ndim - 1)), jnp.nan, x)
    return x


def check_frames(names: Sequence[str], media: Media, least: int = 1) -> None:
    """Refuse clips of fewer than ``least`` frames.

    Raises:
        ValueError: it names the verifiers, what they got and what they need.
    """
    count = media.video.shape[1]
    if count < least:
        wanted = "1 frame" if least == 1 else f"{least} frames"
        raise ValueError(
            f"{', '.join(names)}: a clip must have at least {wanted}, got {count}"
        )


def check_pixels(name: str, video: Float[Array, "N F H W C"]) -> None:
    """Refuse clips without a frame or a pixel.

    Raises:
        ValueError: it names the verifier and the shape of the video.
    """
    if 0 in video.shape[1:]:
        raise ValueError(
            f"{name} needs at least one frame with pixels, got video of shape "
            f"{video.shape}"
        )


def check_sound(
    names: Sequence[str], media: Media, sample_rate: int, seconds: float = 0.0
) -> None:
    """Refuse clips with less than ``seconds`` of sound, or with no sample at all.

    Raises:
        ValueError: it names the verifiers, what they got and what they need.
    """
    count = media.audio.shape[-1]
    if count and count >= seconds * sample_rate:
        return
    wanted = f"{1000 * seconds:g} ms of sound" if seconds else "1 sample of sound"
    raise ValueError(
        f"{', '.join(names)}: a clip must have at least {wanted}, got {count} samples "
        f"at {sample_rate} Hz"
    )


def check_mode(family: str, mode: str, modes: Sequence[str]) -> None:
    """Refuse a way to read clips that a family does not have.

    Raises:
        ValueError: it names the family's modes.
    """
    if mode not in modes:
        raise ValueError(
            f"mode of {family} must be one of {', '.join(modes)}, got {mode!r}"
        )
