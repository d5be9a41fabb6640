"""Guidance of LTX-2: by the text, by a perturbed network, by isolated streams.

All of it acts on clean samples, not on velocities. The branches of a candidate are rows
of one batch, see `sampling.guidance`.
"""

import sys
from typing import Literal, NamedTuple, get_args

import jax

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.sampling.guidance import combine, split_branches

RescaleOver = Literal["candidate", "batch"]


class Scales(NamedTuple):
    """How strongly one stream is guided; the defaults are the picture's of LTX-2.3.

    Attributes:
        text: scale of classifier-free guidance; 1 is none.
        perturbed: of guidance by the network without one block's self-attention
            ("STG"); 0 is none.
        isolated: of guidance by streams that do not see each other; 1 is none.
        rescale: how far the deviation of what is guided is brought back to that of the
            conditional prediction, in [0, 1].
    """

    text: float = 3.0
    perturbed: float = 1.0
    isolated: float = 3.0
    rescale: float = 0.7


USUAL = Streams(Scales(), Scales(text=7.0))
"""Scales that LTX-2 and LTX-2.3 are published with."""
NONE = Streams(Scales(1.0, 0.0, 1.0, 0.0), Scales(1.0, 0.0, 1.0, 0.0))
"""No guidance, as distilled models want it."""

# A branch, the scale that it serves, and the value of the scale that is none.
_BRANCHES = (
    (Branch(text=1), "text", 1.0),
    (Branch(perturbed=True), "perturbed", 0.0),
    (Branch(isolated=True), "isolated", 1.0),
)


def branches(scales: Streams) -> tuple[Branch, ...]:
    """Return the rows of a candidate that the scales need, the conditional one first.

    A branch that neither stream asks for is not evaluated.

    Args:
        scales: `Scales` of both streams.
    """
    wanted = (
        branch
        for branch, name, off in _BRANCHES
        if any(getattr(each, name) != off for each in scales)
    )
    return (Branch(), *wanted)


def guided(
    rows: Streams, scales: Streams, rescale_over: RescaleOver = "candidate"
) -> tuple[Streams, Streams]:
    """Return the conditional clean samples and the guided ones.

    ``c + (text - 1)(c - u) + perturbed (c - p) + (isolated - 1)(c - i)``, then the
    deviation is brought back, see `sampling.guidance.combine`. A deviation over n or
    n - 1 numbers makes no difference to their ratio.

    Args:
        rows: clean samples ``[N G, T, C]`` of the `branches`, given and appended tokens
            among them: they count in the deviation.
        scales: `Scales` of both streams.
        rescale_over: "candidate" measures each candidate's deviation, as diffusers
            does, so that none depends on its neighbours; "batch" measures that of all
            together, as ltx-core 1.0.0 does.

    Raises:
        ValueError: `rescale_over` is unknown, or the rows are no multiple of the
            branches.
    """
    if rescale_over not in get_args(RescaleOver):
        raise ValueError(
            f"rescale_over is {rescale_over!r}; accepted are {get_args(RescaleOver)}"
        )
    asked = branches(scales)
    parts = split_branches(rows, len(asked))
    if rescale_over == "batch":
        parts = jax.tree.map(lambda x: x[None], parts)
    weights = [
        Streams(*(getattr(each, name) - off for each in scales))
        for branch, name, off in _BRANCHES
        if branch in asked
    ]
    rescale = Streams(*(each.rescale for each in scales))
    found = combine(parts[0], parts[1:], weights, rescale)
    if rescale_over == "batch":
        return jax.tree.map(lambda x: x[0], (parts[0], found))
    return parts[0], found


def check_scales(scales: Streams) -> None:
    """Refuse scales that make no sense.

    Raises:
        ValueError: one is negative or not finite, or a rescale is above 1.
    """
    for stream, each in zip(Streams._fields, scales, strict=True):
        for name, value in each._asdict().items():
            check_scale(f"the {stream} scale {name!r}", value, name == "rescale")


def check_scale(name: str, value: float, is_rescale: bool) -> None:
    """Refuse one scale that makes no sense.

    Args:
        name: of it, for the error.
        value: of it.
        is_rescale: whether it is a rescale.

    Raises:
        ValueError: it is negative or not finite, or a rescale is above 1.
    """
    most, words = (1.0, " and at most 1") if is_rescale else (sys.float_info.max, "")
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {value}; expected a number of at least 0{words}")
