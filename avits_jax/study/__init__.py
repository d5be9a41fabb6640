"""Studies of kept rewards: what other verifiers, aggregators or weights would choose.

Host only; nothing is generated or scored again. The functions work on arrays
``rewards [P, N, V]`` of P prompts, N candidates and V verifiers, in which NaN marks
candidates that failed; `read_kept` makes one of run folders.
"""

from avits_jax.study.aggregators import AGGREGATORS, calibrated
from avits_jax.study.analysis import (
    Baseline,
    Outcome,
    baseline,
    choose_all,
    measure,
)
from avits_jax.study.growth import Point, counts_up_to, growth
from avits_jax.study.intervals import interval, intervals, paired_interval
from avits_jax.study.kept import Kept, read_kept
from avits_jax.study.numbers import to_json
from avits_jax.study.rescoring import (
    calibrator,
    choose,
    first_candidates,
    pick,
    usable,
)
from avits_jax.study.rightness import known_prompts, rates_right, rates_right_at_all
from avits_jax.study.selections import Selection, count_selections, make_selections
from avits_jax.study.statistics import (
    advantages,
    agreement,
    best_rewards,
    chance_agreement,
    mean_rewards,
    none_worse,
    spearman,
    winner_rewards,
)
from avits_jax.study.truth import read_truth
from avits_jax.study.whole import Study, make_study

__all__ = [
    "AGGREGATORS",
    "Baseline",
    "Kept",
    "Outcome",
    "Point",
    "Selection",
    "Study",
    "advantages",
    "agreement",
    "baseline",
    "best_rewards",
    "calibrated",
    "calibrator",
    "chance_agreement",
    "choose",
    "choose_all",
    "count_selections",
    "counts_up_to",
    "first_candidates",
    "growth",
    "interval",
    "intervals",
    "known_prompts",
    "make_selections",
    "make_study",
    "mean_rewards",
    "measure",
    "none_worse",
    "paired_interval",
    "pick",
    "rates_right",
    "rates_right_at_all",
    "read_kept",
    "read_truth",
    "spearman",
    "to_json",
    "usable",
    "winner_rewards",
]
