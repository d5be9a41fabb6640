"""Distances between two sets of features (FVD, FAD, KVD); on the host, in float64.

They judge a whole set of clips at once, so they take no part in a search. float64 is
needed: with fewer samples than features the square root lifts float32 noise.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/fvd/fvd.py
(frechet_distance, in float32 there) and eval/javisbench/src/utils.py (polynomial_mmd).
"""

import numpy as np
from jaxtyping import Float

# The square root leaves singular values below this as they are.
_ROOT_FLOOR = 1e-10
FAD_SCALE = 10_000.0


def _checked(
    real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]
) -> tuple[Float[np.ndarray, "M D"], Float[np.ndarray, "N D"]]:
    for name, value in (("real", real), ("generated", generated)):
        if value.ndim != 2 or len(value) < 2:
            raise ValueError(
                f"{name} must be [samples, features] with at least 2 samples, got "
                f"shape {value.shape}"
            )
    if real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"generated must have as many features as real ({real.shape[1]}), got "
            f"{generated.shape[1]}"
        )
    return real.astype(np.float64), generated.astype(np.float64)


def _root(matrix: Float[np.ndarray, "D D"]) -> Float[np.ndarray, "D D"]:
    """Return the square root of a symmetric positive semi-definite matrix."""
    left, values, right = np.linalg.svd(matrix)
    rooted = np.where(values < _ROOT_FLOOR, values, np.sqrt(values))
    return (left * rooted) @ right


def frechet_distance(
    real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]
) -> float:
    """Return the Frechet distance of two Gaussians fitted to features (FVD on I3D).

    ``|ma - mb|^2 + tr(Sa + Sb) - 2 tr sqrt(sqrt(Sa) Sb sqrt(Sa))`` with unbiased
    covariances. FAD is this on AudioCLIP features times `FAD_SCALE`.

    Args:
        real, generated: one row of features per clip.

    Returns:
        The distance, at least 0 up to rounding; lower is better.

    Raises:
        ValueError: if a set has fewer than two rows or the widths differ.
    """
    real, generated = _checked(real, generated)
    between = real.mean(0) - generated.mean(0)
    cov_real = np.cov(real, rowvar=False).reshape(len(between), -1)
    cov_generated = np.cov(generated, rowvar=False).reshape(len(between), -1)
    root = _root(cov_real)
    cross = _root(root @ cov_generated @ root)
    spread = np.trace(cov_real) + np.trace(cov_generated) - 2 * np.trace(cross)
    return float(between @ between + spread)


def polynomial_mmd(
    real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]
) -> float:
    """Return the unbiased squared MMD with the kernel ``(x.y / D + 1)^3`` (KVD).

    MMD is the maximum mean discrepancy.

    Raises:
        ValueError: if a set has fewer than two rows or the widths differ.
    """
    real, generated = _checked(real, generated)

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1.0) ** 3

    def within(features):
        matrix, count = kernel(features, features), len(features)
        return (matrix.sum() - np.trace(matrix)) / (count * (count - 1))

    across = kernel(real, generated).mean()
    return float(within(real) + within(generated) - 2 * across)
