"""Distances between two sets of features (FVD, FAD, FD, KVD); on the host, in float64.

They judge a whole set of clips at once, so they take no part in a search. float64 is
needed: with fewer samples than features the square root lifts float32 noise.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/fvd/fvd.py
(frechet_distance, in float32 there) and eval/javisbench/src/utils.py (polynomial_mmd);
hkchengrex/av-benchmark at 050a5cd, av_bench/metrics/fad.py and kid.py.
"""

import warnings

import numpy as np
import scipy.linalg
from jaxtyping import Float

# The square root leaves eigenvalues below this as they are.
_ROOT_FLOOR = 1e-10
# av-benchmark: added to both covariances where the root of their product is not finite,
# and the largest imaginary part of its diagonal that is taken for rounding.
_RIDGE = 1e-6
_MOST_IMAGINARY = 1e-3
FAD_SCALE = 10_000.0
NO_DISTANCE = -1.0
"""What av-benchmark reports where its square root fails."""


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


def _covariance(features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "D D"]:
    return np.cov(features, rowvar=False).reshape(features.shape[1], -1)


def _rooted(values: Float[np.ndarray, " D"]) -> Float[np.ndarray, " D"]:
    """Return roots of eigenvalues; what rounding has made negative stays so."""
    sizes = np.abs(values)
    return np.where(sizes < _ROOT_FLOOR, values, np.copysign(np.sqrt(sizes), values))


def _trace_of_root(
    real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]
) -> float:
    """Return ``tr sqrt(sqrt(Sa) Sb sqrt(Sa))`` of the sets' covariances.

    With fewer rows than features it is taken from the rows' products, of which it is
    the sum of the singular values: a smaller matrix, and nothing to lose in its root.
    """
    rows = [part - part.mean(0) for part in (real, generated)]
    rows = [part / np.sqrt(len(part) - 1) for part in rows]
    if min(map(len, rows)) < real.shape[1]:
        return float(scipy.linalg.svdvals(rows[0] @ rows[1].T).sum())
    values, vectors = np.linalg.eigh(rows[0].T @ rows[0])
    root = (vectors * _rooted(values)) @ vectors.T
    product = rows[1] @ root
    return float(_rooted(np.linalg.eigvalsh(product.T @ product)).sum())


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
    spread = real.var(0, ddof=1).sum() + generated.var(0, ddof=1).sum()
    return float(between @ between + spread - 2 * _trace_of_root(real, generated))


def frechet_distance_of_product(
    real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]
) -> float:
    """Return the Frechet distance as av-benchmark computes it (FD).

    ``|ma - mb|^2 + tr(Sa + Sb) - 2 tr sqrt(Sa Sb)``: the root is that of the product
    itself, which has no symmetry, so that sets with fewer rows than features give
    rounding noise. `frechet_distance` is the same number without that noise.

    Args:
        real, generated: one row of features per clip, or per piece of one.

    Returns:
        The distance; `NO_DISTANCE` where the root is not real.

    Raises:
        ValueError: if a set has fewer than two rows or the widths differ.
    """
    real, generated = _checked(real, generated)
    between = generated.mean(0) - real.mean(0)
    cov_real, cov_generated = _covariance(real), _covariance(generated)
    root = _root_of_product(cov_generated, cov_real)
    if not np.allclose(np.diagonal(root).imag, 0, atol=_MOST_IMAGINARY):
        return NO_DISTANCE
    spread = np.trace(cov_real) + np.trace(cov_generated) - 2 * np.trace(root.real)
    return float(between @ between + spread)


def _root_of_product(
    first: Float[np.ndarray, "D D"], second: Float[np.ndarray, "D D"]
) -> np.ndarray:
    """Return the root of a product, of a slightly larger one where it is singular."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of what is mended here
        root = scipy.linalg.sqrtm(first @ second)
        if not np.isfinite(root).all():
            ridge = _RIDGE * np.eye(len(first))
            root = scipy.linalg.sqrtm((first + ridge) @ (second + ridge))
    return root


def polynomial_mmd(
    real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]
) -> float:
    """Return the unbiased squared MMD with the kernel ``(x.y / D + 1)^3`` (KVD).

    MMD is the maximum mean discrepancy.

    Raises:
        ValueError: if a set has fewer than two rows or the widths differ.
    """
    real, generated = _checked(real, generated)
    return _mmd(real, generated)


def centred_polynomial_mmd(
    real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]
) -> float:
    """Return `polynomial_mmd` of sets less their own means (KVD as JavisBench has it).

    JavisBench's Frechet distance subtracts each set's mean in place, and its MMD is
    computed from what is left: it is blind to a shift of one set against the other, and
    can be negative.

    Raises:
        ValueError: if a set has fewer than two rows or the widths differ.
    """
    real, generated = _checked(real, generated)
    return _mmd(real - real.mean(0), generated - generated.mean(0))


def kernel_distance(
    real: Float[np.ndarray, "M D"],
    generated: Float[np.ndarray, "N D"],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> tuple[float, float]:
    """Return mean and deviation of the squared MMD over random subsets (KID).

    Subsets are drawn from the generated set, then from the real one, without
    replacement, by `numpy.random.RandomState`.

    Args:
        real, generated: one row of features per clip.
        subsets: how many pairs of subsets are drawn.
        subset_size: rows of each; at most those that the smaller set has.
        seed: of the draws.

    Raises:
        ValueError: if a set has fewer than two rows or the widths differ.
    """
    real, generated = _checked(real, generated)
    size = min(subset_size, len(real), len(generated))
    rng, found = np.random.RandomState(seed), []
    for _ in range(subsets):
        drawn = [
            rows[rng.choice(len(rows), size, replace=False)]
            for rows in (generated, real)
        ]
        found.append(_mmd(*drawn))
    return float(np.mean(found)), float(np.std(found))


def _mmd(real: Float[np.ndarray, "M D"], generated: Float[np.ndarray, "N D"]) -> float:
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1.0) ** 3

    def within(features):
        matrix, count = kernel(features, features), len(features)
        return (matrix.sum() - np.trace(matrix)) / (count * (count - 1))

    across = kernel(real, generated).mean()
    return float(within(real) + within(generated) - 2 * across)
