"""Bootstrap intervals over prompts."""

import functools

import numpy as np
from jaxtyping import Float, Shaped

Interval = tuple[float, float, float]
"""Mean over prompts, low and high end of its 95% bootstrap interval."""

_DRAWS = 4000
_PER_BLOCK = 250
_TAILS = (2.5, 97.5)


def interval(values: Shaped[np.ndarray, " P"]) -> Interval:
    """Return the mean over prompts with its 95% bootstrap interval.

    Prompts are drawn with replacement 4000 times, always by the same seed.

    Args:
        values: ``[P]`` one number per prompt; NaN, a prompt without one, is left out.

    Returns:
        mean, low end, high end; all NaN without any number.
    """
    values = np.asarray(values, float)
    return triple(intervals(values[~np.isnan(values)][:, None])[0])


def paired_interval(
    first: Shaped[np.ndarray, " P"], second: Shaped[np.ndarray, " P"]
) -> Interval:
    """Return the mean difference over prompts with its 95% bootstrap interval.

    Args:
        first: ``[P]`` one number per prompt.
        second: ``[P]`` those of another selection for the same prompts; where either is
            NaN, the prompt is left out.

    Returns:
        mean of ``first - second``, low end, high end; all NaN without any pair.

    Raises:
        ValueError: they are not of as many prompts.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape:
        raise ValueError(
            "first and second must have one number for each of the same prompts, got "
            f"shapes {first.shape} and {second.shape}"
        )
    return interval(first - second)


def intervals(values: Float[np.ndarray, "P K"]) -> Float[np.ndarray, "K 3"]:
    """Return `interval` of many columns, all with the same draws of prompts.

    Args:
        values: ``[P, K]`` finite numbers.

    Returns:
        ``[K, 3]`` mean, low end, high end; NaN without prompts.
    """
    count, width = values.shape
    if not count:
        return np.full((width, 3), np.nan)
    # A mean of drawn prompts is a product with how often each was drawn.
    blocks = [times.astype(float) @ values / count for times in _times_drawn(count)]
    low, high = np.percentile(np.concatenate(blocks), _TAILS, axis=0)
    return np.stack([values.mean(axis=0), low, high], axis=1)


def triple(row: Float[np.ndarray, " 3"]) -> Interval:
    """Return a row of `intervals` as Python numbers."""
    mean, low, high = row.tolist()
    return mean, low, high


@functools.lru_cache(maxsize=1)
def _times_drawn(count: int) -> list[np.ndarray]:
    """Return blocks ``[B, P]`` of how often each of P prompts stands in each draw."""
    rng, rows = np.random.default_rng(0), np.arange(_PER_BLOCK)[:, None]
    blocks = []
    for _ in range(_DRAWS // _PER_BLOCK):
        places = rng.integers(count, size=(_PER_BLOCK, count)) + count * rows
        times = np.bincount(places.ravel(), minlength=_PER_BLOCK * count)
        blocks.append(times.reshape(_PER_BLOCK, count).astype(np.uint16))
    return blocks
