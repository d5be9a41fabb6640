"""Tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from avits_jax.catalogue.scales import output_of, range_in_words, spread_in_words
from avits_jax.cli.terminal import Column, console_for, print_columns

if TYPE_CHECKING:
    from avits_jax.cli.judgements import Judgement

_FILE_WIDTH = 240  # a file or pipe has no width that tables would be squeezed into


def print_candidates(results: dict[str, Any]) -> None:
    """Print candidates by rank: raw and calibrated rewards, score, judges' rewards.

    Args:
        results: as in results.json.
    """
    from avits_jax.report import ranked_rows

    verifiers = results["verifiers"]
    names = [verifier["name"] for verifier in verifiers if verifier["guides"]]
    judges = [verifier["name"] for verifier in verifiers if not verifier["guides"]]
    rows = ranked_rows(results)
    first = [
        Column("rank", ["failed" if r.rank is None else str(r.rank) for r in rows]),
        Column("clip", [str(row.index) for row in rows]),
    ]
    raw = {f"{name}\nraw": [r.rewards[i] for r in rows] for i, name in enumerate(names)}
    calibrated = {
        f"{name}\ncalib.": [row.calibrated[i] for row in rows]
        for i, name in enumerate(names)
    }
    judged = {
        f"{name}\njudge": [row.rewards[i] for row in rows]
        for i, name in enumerate(judges, start=len(names))
    }
    numbers = raw | calibrated | {"score": [row.score for row in rows]} | judged
    others = [_column(heading, column) for heading, column in numbers.items()]
    styles = ["bold" if row.best else ("dim" if row.failed else None) for row in rows]
    print_columns(console_for(_FILE_WIDTH), first, others, styles)


def print_refined(results: Mapping[str, Any]) -> None:
    """Print rewards before and after of the candidates that were made large, if any.

    Args:
        results: as in results.json.
    """
    rows = results.get("refined")
    if not rows:
        return
    print("made large; all above is of small clips:")
    first = [Column("clip", [str(row["index"]) for row in rows])]
    moments = {"before": "rewards_before", "after": "rewards"}
    numbers = {
        f"{verifier['name']}\n{moment}": [row[key][column] for row in rows]
        for column, verifier in enumerate(results["verifiers"])
        for moment, key in moments.items()
    }
    numbers |= {"score\nafter": [row["score"] for row in rows]}
    others = [_column(heading, column) for heading, column in numbers.items()]
    best = results["best_index"]
    styles = [
        "bold" if row["index"] == best else ("dim" if row["failed"] else None)
        for row in rows
    ]
    print_columns(console_for(_FILE_WIDTH), first, others, styles)


def print_rewards(rewards: Mapping[str, float | None]) -> None:
    """Print one reward per verifier, and its scale; None shows as failed."""
    known = [output_of(name) for name in rewards]
    columns = [
        Column("reward", [_show(r, missing="failed") for r in rewards.values()]),
        Column("range", [range_in_words(k) if k else "" for k in known], True),
        Column(
            "samples have",
            [(spread_in_words(k) or "-") if k else "" for k in known],
            True,
        ),
    ]
    console = console_for(_FILE_WIDTH)
    print_columns(console, [Column("verifier", [*rewards], True)], columns)


def print_judgements(judgements: Sequence["Judgement"]) -> None:
    """Print one row a clip: its rewards, and why one is missing."""
    first = [Column("clip", [judgement.clip for judgement in judgements], True)]
    others = [
        _column(name, [judgement.rewards[name] for judgement in judgements])
        for name in judgements[0].rewards
    ]
    if any(judgement.reason for judgement in judgements):
        reasons = [judgement.reason or "" for judgement in judgements]
        others.append(Column("why it failed", reasons, True))
    print_columns(console_for(_FILE_WIDTH), first, others)


def _column(heading: str, numbers: Sequence[float | None]) -> Column:
    return Column(heading, [_show(number) for number in numbers])


def _show(number: float | None, missing: str = "-") -> str:
    return missing if number is None else f"{number:.3f}"
