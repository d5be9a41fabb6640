"""VideoReward's checkpoint in either of its layouts, low-rank updates merged."""

from pathlib import Path
from typing import Any

from avits_jax.converting.files import read_weights
from avits_jax.files.json_values import parse_json
from avits_jax.verifiers.video_reward.config import LORA_SCALE
from avits_jax.verifiers.video_reward.params import merge_lora
from avits_jax.weights.name_map import WeightsError

_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
_REST = "non_lora_state_dict.pth"
_BASES = ("base", "Qwen2-VL-2B-Instruct")


def read_video_reward(path: Path) -> dict[str, Any]:
    """Return the plain state dict.

    Args:
        path: a whole state dict (``model.pth``), a folder with one, or a folder with
            the adapter, ``non_lora_state_dict.pth`` and the base model in ``base/``.
            A folder whose only checkpoint is in ``checkpoint-*/`` counts as that one.

    Raises:
        WeightsError: no such files, or an update without its weight.
    """
    folder = path if path.is_dir() else path.parent
    inner = sorted(folder.glob("checkpoint-*/"))
    if path.is_dir() and len(inner) == 1:
        path = folder = inner[0]
    adapter = next((folder / n for n in _ADAPTERS if (folder / n).is_file()), None)
    whole = (folder / "model.pth").is_file()
    if path.is_dir() and adapter and not whole:
        parts = [read_weights(part) for part in _separate(folder, adapter)]
    else:
        parts = [read_weights(path / "model.pth" if whole and path.is_dir() else path)]
    try:
        return merge_lora(*parts, scale=_scale(folder))
    except ValueError as error:
        raise WeightsError(str(error)) from None


def _separate(folder: Path, adapter: Path) -> list[Path]:
    """Return base model, changed weights and adapter; of two values the last counts."""
    places = [root / name for root in (folder, folder.parent) for name in _BASES]
    base = next((place for place in places if place.is_dir()), None)
    absent = [] if base else [f"{folder / _BASES[0]}/ (Qwen/Qwen2-VL-2B-Instruct)"]
    if not (folder / _REST).is_file():
        absent.append(str(folder / _REST))
    if base is None or absent:
        raise WeightsError(
            f"beside {adapter.name} there is no {' and no '.join(absent)}"
        )
    return [base, folder / _REST, adapter]


def _scale(folder: Path) -> float:
    """Return alpha over rank, as the adapter's own file states it."""
    file = folder / "adapter_config.json"
    if not file.is_file():
        return LORA_SCALE
    try:
        stated = parse_json(file.read_text("utf-8"))
        root = 0.5 if stated.get("use_rslora") else 1.0
        return float(stated["lora_alpha"]) / float(stated["r"]) ** root
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        raise WeightsError(f"{file} states no lora_alpha and r") from None
