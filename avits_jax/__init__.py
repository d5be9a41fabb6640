"""Inference-time scaling for joint audio-video generation, in JAX.

Pure functions for sampling, verification, reward weighting and search; see README.md.
Everything is imported when it is first used, so that this import is quick. Type
checkers read __init__.pyi.
"""

from importlib import import_module
from typing import Any

from avits_jax.version import __version__ as __version__

_NAMES = {
    "aggregation": (
        "ArwState",
        "arw",
        "arw_merge",
        "contributions",
        "minmax",
        "rank",
        "sigmas",
        "weighted",
        "zscore",
        "zscore_candidate",
        "zscore_history",
    ),
    "media": ("save",),
    "sampling": (
        "from_edm",
        "from_epsilon",
        "from_velocity",
    ),
    "search": (
        "BeamOptions",
        "Cost",
        "EvoOptions",
        "PrunedOptions",
        "SMCOptions",
        "ZeroOrderOptions",
        "adaptive_best_of_n",
        "adaptive_best_of_n_cost",
        "beam_cost",
        "beam_search",
        "best_of_n",
        "best_of_n_candidates",
        "best_of_n_cost",
        "difference_potential",
        "draft_best_of_n",
        "draft_best_of_n_cost",
        "evosearch",
        "evosearch_cost",
        "evosearch_within",
        "guide_by_gradient",
        "largest_within",
        "level_mutation",
        "max_potential",
        "multinomial",
        "pruned_best_of_n",
        "pruned_cost",
        "reference_mutation",
        "refine",
        "refine_cost",
        "select",
        "share_with_guides",
        "smc",
        "smc_cost",
        "sum_potential",
        "systematic",
        "zero_order",
        "zero_order_cost",
    ),
    "text.prompt": ("encode_prompt",),
    "types": (
        "Aggregator",
        "Candidates",
        "Cond",
        "Generator",
        "Media",
        "Params",
        "RefineOutput",
        "Refiner",
        "SearchOutput",
        "SharedPass",
        "Verifier",
    ),
}
_PACKAGES = (
    "aggregation",
    "bench",
    "generators",
    "media",
    "parallel",
    "report",
    "runs",
    "sampling",
    "search",
    "study",
    "text",
    "types",
    "verifiers",
    "weights",
)
_PLACES = {name: place for place, names in _NAMES.items() for name in names}

__all__ = sorted([*_PLACES, "__version__", "generators", "sampling", "verifiers"])


def __getattr__(name: str) -> Any:
    """Import what is asked for, once."""
    if name in _PLACES:
        value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    elif name in _PACKAGES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List what is there and what can be imported."""
    return sorted({*globals(), *__all__, *_PACKAGES})
