"""Networks of metrics with their weights, read from a checkpoint or drawn."""

from pathlib import Path
from typing import Any

from avits_jax.types import PyTree
from avits_jax.weights.model import Model, read_configs, read_parts
from avits_jax.weights.network import Weights


def load_network(
    model: Model,
    folder: str | Path | None,
    *,
    random_weights: bool = False,
    tiny: bool = False,
) -> tuple[Any, Any, PyTree]:
    """Return the sizes, graph and float32 weights of a model's only network.

    Args:
        model: what to load.
        folder: a checkpoint that ``avits convert`` wrote; None to draw weights.
        random_weights: draw weights of the published sizes; what they say means
            nothing.
        tiny: draw weights of reduced sizes.

    Raises:
        ValueError: not exactly one of the three is asked for.
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    asked = {
        "folder": folder is not None,
        "random_weights": random_weights,
        "tiny": tiny,
    }
    if sum(asked.values()) != 1:
        given = ", ".join(name for name, wanted in asked.items() if wanted) or "none"
        raise ValueError(
            f"{model.name}: exactly one of folder, random_weights and tiny is needed, "
            f"got {given}"
        )
    weights = Weights(None if folder is None else Path(folder))
    configs = read_configs(model, weights, reduced=tiny)
    graph, _ = model.parts[0].build(configs[""])
    return configs[""], graph, read_parts(model, weights, configs)
