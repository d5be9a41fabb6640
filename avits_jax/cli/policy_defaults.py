"""What the searches' own flags are where they are not given; cheap to import.

The searches and the help both read these tables, so that neither can say what the other
does not do.
"""

from fractions import Fraction
from typing import Any

FIXED: dict[str, Any] = {
    "chunk": 4,
    "tolerance": 0.2,
    "num_elites": 2,
    "tournament_ratio": 0.5,
    "potential": "difference",
    "strength": 1.0,
    "ess_threshold": 0.5,
    "num_children": 4,
    "lookahead": 2,
    "num_iterations": 2,
    "rate": 0.3,
    "draft": 0,
}
# Steps, as shares of all steps.
PLACES: dict[str, tuple[Fraction, ...]] = {
    "schedule": (Fraction(0), Fraction(1, 3)),
    "resample_steps": (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)),
    "branch_steps": (Fraction(1, 4), Fraction(1, 2)),
    "rungs": (Fraction(1, 4), Fraction(1, 2)),
}
MADE_AGAIN = Fraction(1, 4)  # of all drafts


def in_words(flag: str) -> str:
    """Return what a flag of a search is where it is not given, for the help.

    Args:
        flag: field of the options.
    """
    if flag in FIXED:
        return str(FIXED[flag])
    if flag == "populations":
        return "equal shares of --num-candidates"
    if flag == "num_kept":
        return f"{MADE_AGAIN} of --num-candidates"
    places = ", ".join(map(str, PLACES[flag]))
    kept = ", half of those left each time" if flag == "rungs" else ""
    return f"{places} of the steps{kept}"
