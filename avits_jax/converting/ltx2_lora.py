"""LoRA files merged into LTX-2's weights, as they are published for the single file.

Keys are ``diffusion_model.`` and the name of a module in the single file, or, for the
text projection, that name alone; then ``.lora_A.weight`` and ``.lora_B.weight``. There
is no alpha: the scale is the strength alone. All keys of a file are merged, those of
the text projection and the connectors too, as diffusers does; ltx-core ignores them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.converting import ltx2_names as names
from avits_jax.converting.files import Found, LoraFile, read_weights, some
from avits_jax.weights.lora import LoraWeight, Update
from avits_jax.weights.name_map import WeightsError

_OUTER = "diffusion_model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def merge_loras(
    found: Mapping[str, Found], loras: Sequence[LoraFile], *, stepwise: bool = False
) -> dict[str, Found]:
    """Return networks whose weights are updated, one by one, when they are read.

    Args:
        found: the networks, by part, with module names.
        loras: files and their scales; several updates of a weight are summed.
        stepwise: round as ltx-core does, see `LoraWeight`; by default the sum is
            float32 and rounded once.

    Raises:
        WeightsError: a file has keys of no weight of these networks, half an update, or
            one that does not fit its weight.
    """
    states = {name: dict(each.state) for name, each in found.items()}
    for lora in loras:
        for (part, name), update in _updates(lora, states).items():
            base = states[part][name]
            if isinstance(base, LoraWeight):
                merged = replace(base, updates=(*base.updates, update))
            else:
                merged = LoraWeight(base, (update,), np.dtype(base.dtype), stepwise)
            states[part][name] = merged
    return {name: each._replace(state=states[name]) for name, each in found.items()}


def _updates(
    lora: LoraFile, states: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], Update]:
    """Return a file's updates by part and name of the weight, all of them checked."""
    state = read_weights(Path(lora.file))
    halves: dict[tuple[str, str], dict[str, Any]] = {}
    unknown = []
    for key, value in state.items():
        end = next((end for end in (_DOWN, _UP) if key.endswith(end)), None)
        place = end and _place(key.removesuffix(end), states)
        if not end or not place:
            unknown.append(key)
        else:
            halves.setdefault(place, {})[end] = value
    if unknown or not state:
        _refuse(lora, f"no weight is meant by {some(unknown)}")
    alone = [name for (_, name), both in halves.items() if len(both) < 2]
    if alone:
        _refuse(lora, f"half an update of {some(alone)}")
    updates = {
        place: Update(both[_DOWN], both[_UP], lora.scale)
        for place, both in halves.items()
    }
    for (part, name), update in updates.items():
        _check_shape(lora, name, update, tuple(states[part][name].shape))
    return updates


def _place(
    module: str, states: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str] | None:
    """Return part and name of a module's weight, None where there is none."""
    whole = f"model.{module}" if module.startswith(_OUTER) else module
    home = names.single_file(f"{whole}.weight")
    if home is None or home.why:
        return None
    (part, *_) = home.parts
    return (part, home.name) if home.name in states.get(part, {}) else None


def _check_shape(
    lora: LoraFile, name: str, update: Update, expected: tuple[int, ...]
) -> None:
    down, up = tuple(update.down.shape), tuple(update.up.shape)
    fits = len(down) == len(up) == 2 and down[0] == up[1]
    if not fits or (up[0], down[1]) != expected:
        _refuse(lora, f"A {down} and B {up} do not fit {name} {expected}")


def _refuse(lora: LoraFile, reason: str) -> None:
    raise WeightsError(f"{lora.file} is a LoRA of another model: {reason}")
