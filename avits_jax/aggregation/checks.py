"""Checks of what callers pass to aggregators: errors at build or trace time."""

import difflib
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

# One number per verifier, known before tracing.
Column = Sequence[float] | np.ndarray | Array

# The largest size of a reward: beyond it, about 1.8e19, its square overflows float32.
LARGEST_REWARD = float(np.sqrt(np.finfo(np.float32).max))


def check_column(name: str, values: Column, length: int | None = None) -> np.ndarray:
    """Return ``values`` as a finite 1-D float32 array, one entry per verifier.

    Args:
        name: argument name for messages.
        values: numbers, one per verifier.
        length: the required length, or None.

    Raises:
        TypeError: not numbers.
        ValueError: empty, not 1-D, of another length, or not finite.
    """
    try:
        column = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be a sequence of numbers, got {values!r}"
        ) from error
    if column.ndim != 1 or column.size == 0:
        raise ValueError(
            f"{name} must be a non-empty 1-D sequence with one number per verifier, "
            f"got shape {column.shape}"
        )
    if length is not None and column.size != length:
        raise ValueError(
            f"{name} must have {length} entries, one per weight, got {column.size}"
        )
    if not np.isfinite(column).all():
        raise ValueError(f"{name} must be finite numbers, got {column.tolist()}")
    return column


def check_weights(weights: Column) -> np.ndarray:
    """Return ``weights`` as a float32 array ``[V]``.

    Raises:
        TypeError: not numbers.
        ValueError: empty, not 1-D, not finite, negative, or all zero.
    """
    column = check_column("weights", weights)
    if (column < 0).any() or not column.any():
        raise ValueError(
            "weights must be non-negative and not all zero, "
            f"got {column.tolist()} (higher rewards are better)"
        )
    return column


def check_positive_column(name: str, values: Column, length: int) -> np.ndarray:
    """Return ``values`` as a float32 array ``[V]`` of positive numbers.

    Raises:
        TypeError: not numbers.
        ValueError: as in `check_column`, or an entry is not above 0.
    """
    column = check_column(name, values, length)
    if (column <= 0).any():
        raise ValueError(f"{name} must be positive, got {column.tolist()}")
    return column


def check_num_verifiers(num_verifiers: int, weights: np.ndarray) -> None:
    """Raise ValueError unless there is one weight per verifier."""
    if num_verifiers != weights.size:
        raise ValueError(
            f"num_verifiers is {num_verifiers}, but weights has {weights.size} "
            "entries; give one weight per verifier"
        )


def check_count(name: str, value: Any, minimum: int = 1) -> int:
    """Return ``value`` if it is an integer of at least ``minimum``.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is too small.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(
            f"{name} must be an integer of at least {minimum}, got {value!r}"
        )
    count = operator.index(value)
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {count}")
    return count


def check_positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above 0.

    Raises:
        TypeError: not a number.
        ValueError: not finite, or not above 0.
    """
    if isinstance(value, bool) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise TypeError(f"{name} must be a positive number, got {value!r}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value}")
    return float(value)


def check_choice(name: str, value: str, accepted: Iterable[str]) -> str:
    """Return ``value`` if it is among ``accepted``.

    Raises:
        ValueError: unknown; the message suggests the nearest name.
    """
    names = sorted(accepted)
    if value in names:
        return value
    near = difflib.get_close_matches(str(value).lower(), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}{hint}")


def split_failed(
    rewards: Array, num_verifiers: int
) -> tuple[Float[Array, "*P N V"], Bool[Array, "*P N"]]:
    """Return float32 rewards, zero where a candidate is left out, and who is not.

    A candidate is left out when any of its rewards is NaN, infinite, or larger in size
    than `LARGEST_REWARD`.

    Args:
        rewards: ``[N, V]`` or ``[P, N, V]``, any real dtype.
        num_verifiers: the expected ``V``.

    Returns:
        rewards float32 and valid ``[N]`` or ``[P, N]``.

    Raises:
        TypeError: complex rewards.
        ValueError: another shape, or no candidate.
    """
    rewards = jnp.asarray(rewards)
    fits = rewards.ndim in (2, 3) and rewards.shape[-1] == num_verifiers
    if not fits or not rewards.size:
        raise ValueError(
            f"rewards must have shape [N, {num_verifiers}], one row per candidate and "
            f"one column per weight, or [P, N, {num_verifiers}] for the candidates of "
            f"P prompts, got {list(rewards.shape)}"
        )
    if jnp.issubdtype(rewards.dtype, jnp.complexfloating):
        raise TypeError(f"rewards must be real, got {rewards.dtype}")
    usable = jnp.isfinite(rewards) & ~_too_large(rewards)
    valid = usable.all(axis=-1)
    return jnp.where(valid[..., None], rewards.astype(jnp.float32), 0.0), valid


def count_outliers(rewards: Shaped[Array, "*P N V"]) -> Int[Array, " V"]:
    """Count the finite rewards of each verifier that are too large to learn from.

    Args:
        rewards: ``[..., N, V]``, any real dtype.

    Returns:
        ``[V]`` int32, how many lie beyond `LARGEST_REWARD`.
    """
    beyond = jnp.isfinite(rewards) & _too_large(rewards)
    return jnp.sum(beyond, axis=tuple(range(rewards.ndim - 1)), dtype=jnp.int32)


def _too_large(rewards: Array) -> Array:
    """Tell where the square of a reward is beyond float32."""
    wide = rewards.astype(jnp.promote_types(rewards.dtype, jnp.float32))
    return jnp.abs(wide) > LARGEST_REWARD
