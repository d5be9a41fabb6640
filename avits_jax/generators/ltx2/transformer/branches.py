"""Branches of guidance as rows of one batch.

Outside, the rows of a candidate are neighbours: row ``n G + g`` is branch ``g`` of
candidate ``n``. Inside the network, rows whose streams see each other come first, so
that the others are left out by a plain slice.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Branch(NamedTuple):
    """What one row of a candidate sees.

    Attributes:
        text: which prompt it reads.
        perturbed: go without self-attention in the config's perturbed block: values
            take the place of what is mixed from them (spatio-temporal guidance).
        isolated: go without attention between picture and sound.
    """

    text: int = 0
    perturbed: bool = False
    isolated: bool = False


class Rows(NamedTuple):
    """The rows of a batch as the network orders them; all of it static.

    Attributes:
        order: ``[R]``, which row of the batch each one is.
        texts: ``[R]``, the prompt that it reads.
        perturbed: ``[R]``.
        num_joint: rows of streams that see each other; they come first.
    """

    order: Int[np.ndarray, " R"]
    texts: Int[np.ndarray, " R"]
    perturbed: Bool[np.ndarray, " R"]
    num_joint: int

    def sort(self, x: Float[Array, "S ..."]) -> Float[Array, "S ..."]:
        """Bring an array with a row for each, or one for all, to this order."""
        return x if len(x) == 1 or self.in_order else x[self.order]

    def restore(self, x: Float[Array, "R ..."]) -> Float[Array, "R ..."]:
        """Undo `sort`."""
        return x if self.in_order else x[np.argsort(self.order)]

    @property
    def in_order(self) -> bool:
        """Return whether the order is that of the batch."""
        return bool(np.all(np.diff(self.order) > 0))


def order_rows(branches: Sequence[Branch], num_rows: int, num_prompts: int) -> Rows:
    """Return the order of the rows of all candidates.

    Args:
        branches: of a candidate.
        num_rows: of the batch.
        num_prompts: that there are to read.

    Raises:
        ValueError: there are no branches, they do not divide the rows, or one reads a
            prompt that there is not.
    """
    if not branches or num_rows % len(branches):
        raise ValueError(
            f"latents have {num_rows} rows; expected a multiple of the "
            f"{len(branches)} branches"
        )
    for branch in branches:
        if not 0 <= branch.text < num_prompts:
            raise ValueError(
                f"branches read prompt {branch.text}; there are {num_prompts}"
            )
    text, perturbed, isolated = (
        np.tile(np.array(column), num_rows // len(branches))
        for column in zip(*branches, strict=True)
    )
    order = np.argsort(isolated, kind="stable")
    return Rows(order, text[order], perturbed[order], int(np.sum(~isolated)))
