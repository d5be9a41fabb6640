"""Pictures as the first frame, or any other, of a clip."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.nn.resize import crop, resize

_LONGEST = 16


def cover(
    image: Float[Array, "H W 3"], height: int, width: int
) -> Float[Array, "{height} {width} 3"]:
    """Scale a picture until it covers a size, and cut out the middle.

    Bilinear without antialias, to sides rounded up, as ltx-pipelines 1.0.0 does it.
    That one compresses the picture with H.264 first (at crf 33), which is left out
    here; a picture of the right size stays as it is.

    Args:
        image: in [0, 1].
        height, width: of the result, pixels.

    Returns:
        The picture, in [0, 1] and the dtype of ``image``.

    Raises:
        ValueError: the picture is so long that little of it would be left.
    """
    rows, columns = image.shape[:2]
    scale = max(height / rows, width / columns)
    size = math.ceil(rows * scale), math.ceil(columns * scale)
    if math.prod(size) > _LONGEST * height * width:
        raise ValueError(
            f"the picture is {rows} x {columns} pixels, of which less than one in "
            f"{_LONGEST} would be left in a clip of {height} x {width}; cut it first"
        )
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    scaled = resize(image.astype(jnp.float32), size)
    return crop(scaled, top, left, (height, width)).astype(image.dtype)
