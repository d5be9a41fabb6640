"""Which flags belong to which aggregator, and their defaults; cheap to import."""

from typing import Any

# Flag -> argument of the factory.
_ARW = {
    "optimizer": "optimizer",
    "learning_rate": "learning_rate",
    "arw_steps": "num_steps",
    "center": "center",
    "prior": "prior",
    "prior_mean": "prior_mean",
    "prior_std": "prior_std",
    "prior_count": "prior_count",
}
AGGREGATOR_FLAGS: dict[str, dict[str, str]] = {
    "arw": _ARW,
    "weighted": {},
    "rank": {},
    "minmax": {},
    "zscore": {"mean": "mean", "std": "std"},
    "zscore_candidate": {},
    "zscore_history": {},
}
# One prompt is too little for a few small steps: take the minimum at once.
CHOSEN: dict[str, dict[str, Any]] = {"arw": {"optimizer": "closed_form"}}
# Those of the factories themselves, for the help.
ARW_DEFAULTS: dict[str, Any] = {
    **CHOSEN["arw"],
    "learning_rate": 0.05,
    "arw_steps": 5,
    "center": "pooled",
    "prior_count": 100,
}
