"""Load the networks of metrics by their records (host only)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from avits_jax.catalogue.metrics import infos
from avits_jax.catalogue.records import find
from avits_jax.types import PyTree
from avits_jax.weights.model import Model, read_configs, read_parts
from avits_jax.weights.network import Weights

Apply = TypeVar("Apply", bound=Callable[..., Any])


def load_network(
    model: Model,
    make: Callable[[Any], Apply],
    folder: Path | str | None = None,
    random_weights: bool = False,
    tiny: bool = False,
    dtype: str = "float32",
) -> tuple[Apply, PyTree]:
    """Load a network of one part.

    Args:
        model: its record.
        make: ``sizes -> apply(params, ...)``.
        folder: a checkpoint; None for the place where it lies by default.
        random_weights: draw weights that are missing there.
        tiny: the small form, with random weights.
        dtype: of the weights, "float32" or "bfloat16".

    Returns:
        What `make` makes, and the weights.

    Raises:
        ValueError: weights are missing (what to fetch is said) or damaged, or a folder
            is given for the small form.
    """
    weights = Weights(_place(model.name, folder, random_weights, tiny), dtype)
    configs = read_configs(model, weights, reduced=tiny)
    return make(configs[""]), read_parts(model, weights, configs)


def _place(
    name: str, folder: Path | str | None, random_weights: bool, tiny: bool
) -> Path | None:
    """Return where weights are read from, None where they are drawn."""
    if folder is not None:
        if tiny:
            raise ValueError(f"folder must be None for tiny weights, got {folder}")
        if not Path(folder).is_dir():
            raise ValueError(f"checkpoint {folder} of {name} is no folder")
        return Path(folder)
    info = find("metric", name, infos())
    if not (info.present or tiny or random_weights):
        raise ValueError(info.missing)
    return info.folder if info.present and not tiny else None
