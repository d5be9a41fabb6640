"""Ways to choose among mini's candidates, from rewards that are there already."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import avits_jax as avits
from avits_jax.study import choose

GUIDES = ("mini_tv", "mini_ta", "mini_av", "mini_quality")
SINGLES = {
    "text-video alone": 0,
    "text-audio alone": 1,
    "synchrony alone": 2,
    "quality alone": 3,
}
ONE, SUM, RANK = "one sample", "plain sum", "rank"
KNOWN, ARW = "z-score, true statistics", "ARW"


class Evidence(NamedTuple):
    """What is known of every candidate.

    Attributes:
        names: of the verifiers, guides first, then judges.
        rewards: ``[P, N, V]``.
        verdicts: ``[P, N, 5]`` bool, see `truth.Verdict`.
    """

    names: tuple[str, ...]
    rewards: np.ndarray
    verdicts: np.ndarray

    def write(self, path: Path) -> None:
        """Write all of it."""
        np.savez_compressed(path, **self._asdict())

    @classmethod
    def read(cls, path: Path) -> "Evidence":
        """Read what `write` has written."""
        with np.load(path) as stored:
            names = tuple(map(str, stored["names"]))
            return cls(names, stored["rewards"], stored["verdicts"])

    def first(self, num: int) -> "Evidence":
        """Return the first `num` candidates of every prompt."""
        return Evidence(self.names, self.rewards[:, :num], self.verdicts[:, :num])

    def verdicts_of(self, winners) -> np.ndarray:
        """``[P, 5]`` of the winners; of the average candidate where there are none."""
        return self._of(self.verdicts.astype(float), winners)

    def right(self, winners) -> np.ndarray:
        """``[P]`` whether the winners are right; a rate where there are none."""
        return self._of(self.verdicts.all(2).astype(float), winners)

    def rewards_of(self, winners) -> np.ndarray:
        """``[P, V]`` of the winners; of the average candidate where there are none."""
        return self._of(self.rewards, winners)

    def _of(self, values, winners):
        if winners is None:
            return values.mean(1)
        return values[np.arange(len(values)), winners]


def selections(evidence: Evidence, num: int) -> dict[str, np.ndarray | None]:
    """Winners ``[P]`` among the first `num` by every selection; None: the average one.

    "All" are text-video, text-audio and synchrony; quality joins where it is named.
    """
    rewards = evidence.rewards[:, :num]
    every = evidence.rewards[..., :3].reshape(-1, 3)
    closed = partial(avits.arw, optimizer="closed_form")
    ones = [1.0] * 3
    found: dict[str, np.ndarray | None] = {ONE: None}
    for name, column in SINGLES.items():
        found[name] = choose(rewards, avits.weighted([1.0]), [column])
    aggregators = {
        SUM: avits.weighted(ones),
        RANK: avits.rank(ones),
        "z-score of the prompt": avits.zscore_candidate(ones),
        KNOWN: avits.zscore(ones, every.mean(0), every.std(0)),
        "ARW (Adam)": avits.arw(ones),
        ARW: closed(ones),
    }
    for name, aggregator in aggregators.items():
        found[name] = choose(rewards, aggregator, range(3))
    found["ARW with quality"] = choose(rewards, closed([1.0] * 4), range(4))
    return found
