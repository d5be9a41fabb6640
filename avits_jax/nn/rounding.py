"""Arithmetic in float32 that must round as another program's does."""

import numpy as np
from jaxtyping import Array, Float


def divide(x: Float[Array, "*B"], divisor: float) -> Float[Array, "*B"]:
    """Divide by a number, also in a compiled program.

    XLA would multiply by the reciprocal of a number that is the same for many entries,
    which rounds differently. So each has a divisor that depends on it, as far as XLA
    can know: nothing times 0 is NaN if it is NaN or infinite. So is the quotient, then.
    """
    return x / (divisor + 0.0 * x)


def float32_line(start: float, stop: float, count: int) -> Float[np.ndarray, " count"]:
    """Return evenly spaced numbers as ``torch.linspace`` rounds them.

    They are float32, counted from the nearer end in steps of float32; product and sum
    are rounded once.

    Args:
        start, stop: first and last number, exact in float32.
        count: how many, at least 1; a single one is ``start``.
    """
    step = np.float64(np.float32(stop - start) / np.float32(max(count - 1, 1)))
    places = np.arange(count)
    upwards = start + step * places
    downwards = stop - step * (count - 1 - places)
    nearer_start = places < max(count // 2, 1)
    return np.where(nearer_start, upwards, downwards).astype(np.float32)
