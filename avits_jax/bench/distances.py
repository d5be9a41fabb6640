"""A column's distance of two sets of features, in either mode."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from avits_jax.bench.columns import BENCH, DEFAULT
from avits_jax.metrics.divergence import inception_score, softmax_divergence
from avits_jax.metrics.frechet import (
    FAD_SCALE,
    centred_polynomial_mmd,
    frechet_distance,
    frechet_distance_of_product,
    polynomial_mmd,
)

Real = Float[np.ndarray, "M D"]
Features = Float[np.ndarray, "N D"]
_Distance = Callable[[Real, Features], float]


def _fad(real: Real, generated: Features) -> float:
    return FAD_SCALE * frechet_distance(real, generated)


def _same(distance: _Distance) -> Mapping[str, _Distance]:
    return {BENCH: distance, DEFAULT: distance}


_FD = {BENCH: frechet_distance_of_product, DEFAULT: frechet_distance}
_DISTANCES: dict[str, Mapping[str, _Distance]] = {
    "fvd": _same(frechet_distance),
    "kvd": {BENCH: centred_polynomial_mmd, DEFAULT: polynomial_mmd},
    "fad": _same(_fad),
    "fd_panns": _FD,
    "fd_vgg": _FD,
    "fd_passt": _FD,
}
_INCEPTION = ("is_panns", "is_passt")
_DIVERGENCE = ("kl_panns", "kl_passt")
NEEDS_REFERENCES = (*_DISTANCES, *_DIVERGENCE)
"""Keys of the columns that compare with real clips."""


def set_distance(key: str, mode: str, real: Real, generated: Features) -> float:
    """Return a column's distance of generated clips from real ones.

    Args:
        key: of a column that compares two sets.
        mode: "bench" or "default".
        real: features of real clips, one row each (VGGish: one row per piece).
        generated: of the clips that are judged.

    Raises:
        ValueError: a set has fewer than two rows, or the widths differ.
    """
    return _DISTANCES[key][mode](real, generated)


def set_score(key: str, generated: Features) -> float:
    """Return a column's score of a set of clips that is compared with nothing.

    Args:
        key: of an inception score.
        generated: class logits.

    Returns:
        The score; NaN for fewer clips than splits.
    """
    if key not in _INCEPTION:
        known = ", ".join(_INCEPTION)
        raise ValueError(f"key must be one of {known}, got {key!r}")
    return inception_score(generated)[0]


def pair_distances(
    key: str, real: Features, generated: Features
) -> Float[np.ndarray, " N"]:
    """Return a column's number for every clip, against the real clip of its prompt.

    Args:
        key: of a divergence.
        real: class logits of the real clips.
        generated: of the generated clips, in the same order.
    """
    if key not in _DIVERGENCE:
        known = ", ".join(_DIVERGENCE)
        raise ValueError(f"key must be one of {known}, got {key!r}")
    return softmax_divergence(real, generated)
