"""What "avits verify" found out: as a table, as JSON, as a file."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avits_jax.cli.errors import CliError

OUT_KINDS = (".csv", ".json")
NOT_FINITE = "gave no finite reward"


class Judgement(NamedTuple):
    """What verifiers say of one clip.

    Attributes:
        clip: path as given.
        prompt: what it should show and sound like.
        rewards: by verifier; None where it gave none.
        reasons: why not, by verifier; under "" what no verifier is to blame for.
        notes: what was changed in the clip.
    """

    clip: str
    prompt: str
    rewards: dict[str, float | None]
    reasons: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Tell whether every verifier gave a reward."""
        return None not in self.rewards.values()

    @property
    def empty(self) -> bool:
        """Tell whether no verifier gave a reward."""
        return not any(reward is not None for reward in self.rewards.values())

    @property
    def reason(self) -> str | None:
        """Say all that went wrong, in one line; None if nothing did."""
        groups: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            groups.setdefault(reason, []).append(name)
        parts = [_sentence(names, reason) for reason, names in groups.items()]
        return "; ".join(parts) or None


def _sentence(names: Sequence[str], reason: str) -> str:
    link = " " if reason == NOT_FINITE else ": "
    return link.join(part for part in (" and ".join(names), reason) if part)


def as_entry(judgement: Judgement, random: Sequence[str]) -> dict[str, Any]:
    """Return a judgement as JSON values.

    Args:
        judgement: the judgement.
        random: verifiers whose weights are drawn.
    """
    entry: dict[str, Any] = {
        "clip": judgement.clip,
        "prompt": judgement.prompt,
        "rewards": judgement.rewards,
        "notes": list(judgement.notes),
    }
    if judgement.reason:
        entry["reason"] = judgement.reason
    if random:
        entry["random_weights"] = list(random)
    return entry


def check_out(out: Path | None) -> None:
    """Raise CliError if judgements cannot be written to such a file."""
    if out is None:
        return
    if out.suffix.lower() not in OUT_KINDS:
        raise CliError(f"--out must end in {' or '.join(OUT_KINDS)}, got {out}")
    if not out.parent.is_dir():
        raise CliError(f"--out {out}: folder {out.parent} does not exist")


def write(out: Path, judgements: Sequence[Judgement], random: Sequence[str]) -> None:
    """Write all judgements, whole or not at all.

    Args:
        out: a .csv or .json file.
        judgements: one or more.
        random: verifiers whose weights are drawn.
    """
    from avits_jax.media import write_json, write_text

    if out.suffix.lower() == ".json":
        write_json(out, [as_entry(judgement, random) for judgement in judgements])
        return
    names = list(judgements[0].rewards)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["clip", "prompt", *names, "reason", "notes", "random_weights"])
    for judgement in judgements:
        numbers = ["" if r is None else repr(r) for r in judgement.rewards.values()]
        said = [judgement.reason or "", "; ".join(judgement.notes), " ".join(random)]
        rows.writerow([judgement.clip, judgement.prompt, *numbers, *said])
    write_text(out, text.getvalue())


def print_json(value: Any) -> None:
    """Print JSON values on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
