"""What compare_searches.py makes of what its searches found: gains, rows, tables."""

import platform
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from avits_jax.study import interval

COSTS = ("nfe", "decodes", "verifier_calls", "flops")


class Found(NamedTuple):
    """What a search found for all prompts.

    Attributes:
        winners: ``[P, V]`` rewards of the winners.
        right: ``[P]`` whether the winner is entirely right.
        costs: ``[P, 4]`` evaluations, decodes, verifier calls, operations.
        seconds: ``[P]``; the first include compilation.
        candidates: ``[P, N, V]`` rewards of all candidates.
    """

    winners: np.ndarray
    right: np.ndarray
    costs: np.ndarray
    seconds: np.ndarray
    candidates: np.ndarray


class Scale(NamedTuple):
    """Z-scores: a reward's distance from the mean, in deviations of all candidates.

    Attributes:
        rewards: ``[P, 16, V]`` of best-of-16.
    """

    rewards: np.ndarray

    def scores(self, rewards: np.ndarray) -> np.ndarray:
        """Return z-scores ``[...]`` of rewards ``[..., V]``."""
        flat = self.rewards.reshape(-1, self.rewards.shape[-1])
        return ((rewards - flat.mean(0)) / flat.std(0)).mean(-1)

    def gain(self, winners: np.ndarray) -> np.ndarray:
        """Return ``[P]`` of winners ``[P, V]``: what they are above one sample."""
        return self.scores(winners) - self.scores(self.rewards).mean(1)


def kept(gains: np.ndarray, of: np.ndarray) -> tuple[float, float, float]:
    """Return the ratio of mean gains, and its 95% interval, prompts kept in pairs."""
    draws = np.random.default_rng(0).integers(len(of), size=(4000, len(of)))
    ratios = gains[draws].mean(1) / of[draws].mean(1)
    return gains.mean() / of.mean(), *np.percentile(ratios, [2.5, 97.5])


def row_of(
    name: str, found: Found, sixteen: Found, more: Found | None
) -> dict[str, Any]:
    """Return the row of a search, beside best-of-16 and, if given, best-of-64."""
    scale = Scale(sixteen.candidates)
    gains = scale.gain(found.winners)
    right = interval(found.right)
    share = kept(gains, scale.gain(sixteen.winners))
    costs = dict(zip(COSTS, found.costs.mean(0).tolist(), strict=True))
    ratios = found.seconds[1:] / sixteen.seconds[1:]
    row = {"search": name, **costs}
    row |= zip(("right", "right_low", "right_high"), right, strict=True)
    row |= zip(("kept", "kept_low", "kept_high"), share, strict=True)
    if more:
        row["kept_of_64"] = kept(gains, scale.gain(more.winners))[0]
    row["seconds"] = float(np.median(found.seconds[1:]))
    row["seconds_of_16"] = float(np.median(ratios))
    row["first_seconds"] = float(found.seconds[0])
    return row


def fidelity(
    name: str, evaluations: int, drafted: Found, sixteen: Found
) -> dict[str, Any]:
    """Return how a draft's z-scores agree with those of the finished clips."""
    scale, num = Scale(sixteen.candidates), len(drafted.candidates)
    drafts, full = (scale.scores(x.candidates[:num]) for x in (drafted, sixteen))
    each = [spearmanr(*pair).statistic for pair in zip(drafts, full, strict=True)]
    same = drafts.argmax(1) == full.argmax(1)
    return {
        "draft": name,
        "prompts": num,
        "evaluations_of_one": evaluations,
        "spearman": float(np.mean(each)),
        "same_winner": float(same.mean()),
    }


def show(console: Console, rows: list[dict], drafts: list[dict], num: int) -> None:
    """Print both tables."""
    headings = (
        "search,evaluations,decodes,calls,GFLOP,right,95%,gain kept,95%,of 64's,"
        "s/prompt,of 16's"
    )
    table = Table(*headings.split(","), title=f"{num} prompts")
    for row in rows:
        table.add_row(
            row["search"],
            *(f"{row[name]:.4g}" for name in COSTS[:3]),
            f"{row['flops'] / 1e9:.4g}",
            f"{row['right']:.1%}",
            f"{row['right_low']:.1%} to {row['right_high']:.1%}",
            f"{row['kept']:.1%}",
            f"{row['kept_low']:.1%} to {row['kept_high']:.1%}",
            f"{row['kept_of_64']:.1%}" if "kept_of_64" in row else "",
            f"{row['seconds']:.2f}",
            f"{row['seconds_of_16']:.0%}",
        )
    console.print(table)
    table = Table("draft", "prompts", "evaluations of one", "Spearman", "same winner")
    for row in drafts:
        table.add_row(
            row["draft"],
            str(row["prompts"]),
            str(row["evaluations_of_one"]),
            f"{row['spearman']:.3f}",
            f"{row['same_winner']:.1%}",
        )
    if drafts:
        console.print(table)
    console.print(f"{platform.machine()}, {jax.devices()[0]}, jax {jax.__version__}")
