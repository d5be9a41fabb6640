"""Weights with low-rank updates that are added when they are read (host only)."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from avits_jax.weights.file_tensors import BFLOAT16, block_of

_FLOAT32 = np.dtype(np.float32)


class Update(NamedTuple):
    """A low-rank update of a matrix: ``scale B A``.

    Attributes:
        down: A, ``[rank, in]``.
        up: B, ``[out, rank]``.
        scale: alpha over rank, or the strength alone where no alpha is published.
    """

    down: Any
    up: Any
    scale: float


@dataclass(frozen=True)
class LoraWeight:
    """A matrix and its updates: ``base + sum of scale B A``, added in float32.

    Attributes:
        base: ``[out, in]``.
        updates: each ``[out, in]``.
        dtype: in which the sum is stored where nothing else is asked for.
        stepwise: round to bfloat16 after every operation, as ltx-core's merge does: B
            times scale, the product, the sum of several products, and the sum with the
            base. Without it the sum is rounded once, when it is stored.
    """

    base: Any
    updates: tuple[Update, ...]
    dtype: np.dtype = _FLOAT32
    stepwise: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the sum."""
        return tuple(self.base.shape)

    def block(
        self, axis: int, start: int, stop: int | None = None, step: int = 1
    ) -> "LoraWeight":
        """Return some rows (axis 0) or columns (axis 1) of the sum, unread."""
        cut = (start, stop, step)
        halves = [
            each._replace(up=block_of(each.up, 0, *cut))
            if axis == 0
            else each._replace(down=block_of(each.down, 1, *cut))
            for each in self.updates
        ]
        base = block_of(self.base, axis, *cut)
        return replace(self, base=base, updates=tuple(halves))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read everything and add it up; in float32 unless a dtype is asked for."""
        total = self._rounded(_float32(self.base))
        deltas = [self._delta(each) for each in self.updates]
        if self.stepwise:
            delta = deltas[0]
            for each in deltas[1:]:
                delta = self._rounded(delta + each)
            deltas = [delta]
        for each in deltas:
            total = self._rounded(total + each)
        return total.astype(dtype or np.float32, copy=False)

    def _delta(self, update: Update) -> np.ndarray:
        down, up = (self._rounded(_float32(x)) for x in (update.down, update.up))
        return self._rounded(self._rounded(np.float32(update.scale) * up) @ down)

    def _rounded(self, array: np.ndarray) -> np.ndarray:
        if not self.stepwise:
            return array
        return array.astype(BFLOAT16).astype(np.float32)


def _float32(value: Any) -> np.ndarray:
    return np.asarray(value).astype(np.float32)
