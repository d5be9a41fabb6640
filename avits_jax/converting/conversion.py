"""Convert a model: read leaf by leaf, check every key first, write all or nothing."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from avits_jax.converting.files import Found, LoraFile
from avits_jax.converting.finding import find
from avits_jax.converting.models import MERGERS
from avits_jax.files.folders import replacing_folder
from avits_jax.files.stores import check_local
from avits_jax.weights import checkpoint
from avits_jax.weights import name_map as weights
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.config import config_values
from avits_jax.weights.file_tensors import BFLOAT16
from avits_jax.weights.lazy import LazyArray, chunk_shape
from avits_jax.weights.model import Model, Part, check_model_dtype, sizes_of
from avits_jax.weights.name_map import WeightsError
from avits_jax.weights.network import is_named
from avits_jax.weights.parts import is_in_parts, write_index

FLOAT32 = np.dtype(np.float32)
FLOAT8 = np.dtype(ml_dtypes.float8_e4m3fn)
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Ready:
    """A network whose source was found and whose keys all fit; nothing is read yet.

    Attributes:
        part: what it is.
        config: its sizes.
        state: source keys and tensors in their files.
        plan: how they become leaves.
        leaves: what is written.
        tokenizer: files copied along, by their path in the checkpoint.
    """

    part: Part
    config: Any
    state: Mapping[str, Any]
    plan: weights.Plan
    leaves: dict[str, Any]
    tokenizer: dict[str, Path]

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all leaves."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.leaves))

    @property
    def parameters(self) -> int:
        """Return how many numbers all leaves have."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.leaves))

    @property
    def dropped(self) -> dict[str, int]:
        """Return reason -> how many source keys are left out for it."""
        return dict(Counter(self.plan.ignored.values()))


def prepare(
    model: Model,
    source: Path,
    *,
    sizes: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    loras: Sequence[LoraFile] = (),
    advance: Advance = lambda count: None,
) -> dict[str, Ready]:
    """Find all files of a model and check every key, reading only their headers.

    Optional networks that are not there are left out.

    Args:
        model: what to convert.
        source: file or folder with the published weights.
        sizes: sizes other than the published ones, as `config_values` gives them; of a
            model in parts: by part.
        dtype: "float32", "bfloat16" (vectors stay float32), "float8" (as bfloat16, but
            for what each part's record names), or None: bfloat16 where the source has
            it, else float32.
        loras: low-rank updates that are merged, of models that have some.
        advance: called with the bytes of every slice that is made.

    Raises:
        WeightsError: files are missing or damaged, or keys are missing, unused, doubled
            or wrongly shaped; everything is listed.
        ValueError: ``sizes`` do not fit, or the model has no float8 form or no LoRA.
    """
    check_model_dtype(model, dtype)
    _check_loras(model, loras)
    found, problems = find(model, source)
    if loras:
        found = MERGERS[model.name](found, loras)
    parts = {part.name: part for part in model.parts}
    unknown = sorted(set(sizes or {}) - set(parts))
    if unknown and "" not in parts:
        known = ", ".join(parts)
        raise ValueError(f"sizes name no part {unknown[0]!r} (there are: {known})")
    ready = {}
    for name, part in parts.items():
        if name not in found:
            continue
        own = (sizes or {}).get(name, {}) if name else sizes or {}
        config = sizes_of(part, {**config_values(part.config), **own})
        try:
            ready[name] = _prepare(part, config, found[name], dtype, advance)
        except WeightsError as error:
            problems.append(f"{name}: {error}" if name else str(error))
    if problems:
        raise WeightsError("; ".join(problems))
    return ready


def convert(
    model: Model,
    ready: Mapping[str, Ready],
    out: Path,
    *,
    loras: Sequence[LoraFile] = (),
    overwrite: bool = False,
) -> None:
    """Write what `prepare` found as a checkpoint, complete or not at all.

    Args:
        model: what is converted.
        ready: its networks.
        out: folder of the checkpoint.
        loras: what was merged, for the checkpoint's index.
        overwrite: replace a checkpoint that is there.

    Raises:
        CheckpointError: ``out`` exists and may not be replaced, or its disk is full.
        WeightsError: a source file ends early.
    """
    check_target(out, overwrite)
    _check_room(out, sum(part.total_bytes for part in ready.values()))
    if "" in ready:
        return _write(ready[""], model.name, out, overwrite)
    with replacing_folder(out) as new:
        for name, part in ready.items():
            _write(part, f"{model.name}/{name}", new / name, False)
        metadata: dict[str, Any] = {
            "model": model.name,
            "config": {
                name: config_values(part.config) for name, part in ready.items()
            },
        }
        if loras:
            metadata["loras"] = [
                {"file": Path(lora.file).name, "scale": lora.scale} for lora in loras
            ]
        write_index(new, ready, metadata)


def _check_loras(model: Model, loras: Sequence[LoraFile]) -> None:
    if loras and model.name not in MERGERS:
        raise ValueError(f"{model.name} takes no LoRA, got {loras[0].file}")


def check_target(out: Path, overwrite: bool) -> None:
    """Refuse a folder that may not be replaced, before any work is done."""
    check_local(out, "out")
    if not out.exists():
        return
    if not overwrite:
        raise CheckpointError(f"{out} exists already; --overwrite replaces it")
    if not is_in_parts(out) and not (out / "manifest.json").is_file():
        raise CheckpointError(f"{out} is no checkpoint and is not replaced")


def _check_room(out: Path, needed: int) -> None:
    """Refuse a disk that is too full, before hours of work."""
    place = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise CheckpointError(
            f"{out} takes {needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB "
            "free"
        )


def _prepare(
    part: Part,
    config: Any,
    found: Found,
    dtype: str | None,
    advance: Advance,
) -> Ready:
    state = found.state
    like = part.build(config)[1]
    rules = part.rules_for(config)
    plan = weights.make_plan(state, like, rules, part.ignored(config))
    plan = plan._replace(ignored={**plan.ignored, **found.dropped})
    flat, structure = jax.tree_util.tree_flatten_with_path(like)
    leaves = []
    for path, leaf in flat:
        name = weights.path_of(path)
        own = _asked_dtype(part, name.replace(".", "/"), dtype)
        leaves.append(_lazy(plan.leaves[name], leaf, state, own, advance))
    tree = jax.tree_util.tree_unflatten(structure, leaves)
    return Ready(part, config, state, plan, tree, dict(found.tokenizer))


def _asked_dtype(part: Part, path: str, dtype: str | None) -> str | None:
    """Return in which dtype a weight is asked for, where one is for all."""
    if dtype is not None and is_named(path, part.float32):
        return "float32"
    if dtype == "float8" and not is_named(path, part.float8):
        return "bfloat16"
    return dtype


def _lazy(
    leaf: weights.Leaf,
    like: jax.ShapeDtypeStruct,
    state: Mapping[str, Any],
    dtype: str | None,
    advance: Advance,
) -> LazyArray:
    """Return the leaf as something that is read while it is written."""
    stacked = len(leaf.stack)
    stored = _stored_dtype(leaf, len(like.shape) - stacked, state, dtype)

    def slices():
        rows = chunk_shape(array)[0] if array.shape else 1
        for index, part in leaf.blocks(state, array.shape, rows):
            yield index, part
            advance(part.size * stored.itemsize)

    array = LazyArray(tuple(like.shape), stored, stacked, slices)
    return array


def _stored_dtype(
    leaf: weights.Leaf, rank: int, state: Mapping[str, Any], dtype: str | None
) -> np.dtype:
    if dtype == "float8":
        return FLOAT8
    if dtype is None:
        keys = [key for piece in leaf.pieces for key in piece.keys]
        half = all(np.dtype(state[key].dtype) == BFLOAT16 for key in keys)
    else:
        # Norms, biases and frequencies are small, and matter.
        half = dtype == "bfloat16" and rank > 1
    return BFLOAT16 if half else FLOAT32


def _write(ready: Ready, name: str, out: Path, overwrite: bool) -> None:
    metadata = {
        "model": name,
        "config": config_values(ready.config),
        "source": _source_files(ready.state),
        "dropped": ready.dropped,
    }
    checkpoint.save(
        out, ready.leaves, metadata, overwrite=overwrite, files=ready.tokenizer
    )


def _source_files(state: Mapping[str, Any]) -> list[str]:
    """Return the names of the weight files, without their folders."""
    # A merged weight names its base.
    return sorted({getattr(v, "base", v).path.name for v in state.values()})
