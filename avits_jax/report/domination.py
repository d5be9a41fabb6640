"""Whether what was chosen is no worse than the mean candidate for any verifier."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avits_jax.study import interval, none_worse
from avits_jax.study.intervals import Interval


class Domination(NamedTuple):
    """How often nobody, or some judge, finds the chosen candidate worse.

    Attributes:
        nobody: share of prompts whose chosen candidate is at least as good as the mean
            one under every verifier.
        no_guide: the same under every verifier that guided.
        some_judge: share of prompts whose chosen candidate is worse under some verifier
            that did not guide; None without one.
        num_prompts: prompts that every verifier has judged.
    """

    nobody: Interval
    no_guide: Interval
    some_judge: Interval | None
    num_prompts: int


def domination(
    advantage: Float[np.ndarray, "P W"], num_guides: int
) -> Domination | None:
    """Count over prompts; None where no prompt has all its rewards.

    Args:
        advantage: ``[P, W]`` chosen less mean candidate, guides first; prompts with a
            NaN are left out.
        num_guides: how many verifiers guided.
    """
    known = advantage[np.isfinite(advantage).all(axis=1)]
    if not len(known):
        return None
    judges = known[:, num_guides:]
    return Domination(
        interval(none_worse(known)),
        interval(none_worse(known[:, :num_guides])),
        interval(~none_worse(judges)) if judges.shape[1] else None,
        len(known),
    )
