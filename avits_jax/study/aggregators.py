"""The aggregators that a study compares, by name."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Array, Float

from avits_jax import aggregation
from avits_jax.study.rescoring import calibrator, usable
from avits_jax.types import Aggregator

# On z-scores about the true statistics, z-scoring is the plain sum.
_MAKERS: dict[str, Callable[[Sequence[float]], Aggregator]] = {
    "weighted": aggregation.weighted,
    "rank": aggregation.rank,
    "minmax": aggregation.minmax,
    "zscore": aggregation.weighted,
    "zscore_candidate": aggregation.zscore_candidate,
    "zscore_history": aggregation.zscore_history,
    "arw": functools.partial(aggregation.arw, optimizer="closed_form"),
    "arw_adam": functools.partial(aggregation.arw, optimizer="adam"),
}
AGGREGATORS: tuple[str, ...] = tuple(_MAKERS)
"""Their names.

"weighted" is the plain weighted sum; "zscore" knows the mean and deviation of all
usable rewards of the run, as no search could; "arw" is the closed form.
"""


def calibrated(name: str, rewards: Float[np.ndarray, "P N V"]) -> Float[Array, "P N V"]:
    """Return the rewards of a run on the scale that an aggregator gives all verifiers.

    Args:
        name: one of `AGGREGATORS`.
        rewards: ``[P, N, V]`` raw rewards in the order of the prompts; a candidate with
            a NaN or infinite one takes no part.

    Returns:
        ``[P, N, V]`` float32, for `pick`; -inf for candidates that take no part.
    """
    scaled = _standardised(rewards) if name == "zscore" else rewards
    return _calibrator(name, rewards.shape[-1])(scaled.astype(np.float32))


@functools.cache
def _calibrator(
    name: str, num_verifiers: int
) -> Callable[[np.ndarray], Float[Array, "P N V"]]:
    """Return the one function, so that it is compiled once for each shape."""
    return calibrator(_MAKERS[name]([1.0] * num_verifiers), num_verifiers)


def _standardised(rewards: Float[np.ndarray, "P N V"]) -> Float[np.ndarray, "P N V"]:
    seen = rewards[usable(rewards)].astype(float)
    if not len(seen):
        return rewards
    spread = seen.std(axis=0)
    return (rewards - seen.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
