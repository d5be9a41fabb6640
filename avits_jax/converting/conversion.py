"""Convert a model: read leaf by leaf, check every key first, write all or nothing."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avits_jax.converting.files import tokenizer_files
from avits_jax.converting.models import reader_of
from avits_jax.files.folders import replacing_folder
from avits_jax.files.stores import check_local
from avits_jax.weights import checkpoint
from avits_jax.weights import name_map as weights
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.config import config_values
from avits_jax.weights.file_tensors import BFLOAT16
from avits_jax.weights.lazy import LazyArray
from avits_jax.weights.model import Model, Part, Source, sizes_of
from avits_jax.weights.name_map import WeightsError
from avits_jax.weights.parts import is_in_parts, write_index

FLOAT32 = np.dtype(np.float32)
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
    advance: Advance = lambda count: None,
) -> dict[str, Ready]:
    """Find all files of a model and check every key, reading only their headers.

    Args:
        model: what to convert.
        source: file or folder with the published weights.
        sizes: sizes other than the published ones, as `config_values` gives them; of a
            model in parts: by part.
        dtype: "float32", "bfloat16" (vectors stay float32), or None: bfloat16 where
            the source has it, else float32.
        advance: called with the bytes of every slice that is made.

    Raises:
        WeightsError: files are missing or damaged, or keys are missing, unused, doubled
            or wrongly shaped; everything is listed.
        ValueError: ``sizes`` do not fit.
    """
    places = _find(model, source)
    parts = {part.name: part for part in model.parts}
    unknown = sorted(set(sizes or {}) - set(parts))
    if unknown and "" not in parts:
        known = ", ".join(parts)
        raise ValueError(f"sizes name no part {unknown[0]!r} (there are: {known})")
    ready, problems = {}, []
    for name, part in parts.items():
        own = (sizes or {}).get(name, {}) if name else sizes or {}
        config = sizes_of(part, {**config_values(part.config), **own})
        try:
            ready[name] = _prepare(
                part, config, _read(model, places[name]), dtype, advance
            )
        except WeightsError as error:
            problems.append(f"{name}: {error}" if name else str(error))
    if problems:
        raise WeightsError("; ".join(problems))
    return ready


def convert(
    model: Model, ready: Mapping[str, Ready], out: Path, *, overwrite: bool = False
) -> None:
    """Write what `prepare` found as a checkpoint, complete or not at all.

    Args:
        model: what is converted.
        ready: its networks.
        out: folder of the checkpoint.
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
        metadata = {
            "model": model.name,
            "config": {
                name: config_values(part.config) for name, part in ready.items()
            },
        }
        write_index(new, ready, metadata)


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


def _find(model: Model, source: Path) -> dict[str, list[tuple[str, Path]]]:
    """Return (prefix, path) of every source of every network."""
    if not source.exists():
        raise WeightsError(f"{source} does not exist")
    places, absent = {}, []
    for part in model.parts:
        found = [(each, _place(each, source)) for each in part.sources]
        absent += [each.folders[0] for each, path in found if path is None]
        places[part.name] = [(each.prefix, path) for each, path in found if path]
    if absent:
        wanted = "; ".join(f"{e.what} from {e.repository}" for e in model.downloads)
        raise WeightsError(f"{source} lacks {', '.join(absent)} (needed: {wanted})")
    return places


def _place(source: Source, root: Path) -> Path | None:
    """Return the path under ``root``, None where there is none of them."""
    if not source.folders:
        return root
    found = (root / name for name in source.folders)
    return next((path for path in found if path.exists()), None)


def _read(
    model: Model, places: Iterable[tuple[str, Path]]
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the source keys of one network, and its tokenizer's files."""
    state: dict[str, Any] = {}
    tokenizer: dict[str, Path] = {}
    read = reader_of(model)
    for prefix, path in places:
        state |= {prefix + key: value for key, value in read(path).items()}
        tokenizer |= tokenizer_files(path)
    return state, tokenizer


def _prepare(
    part: Part,
    config: Any,
    found: tuple[dict[str, Any], dict[str, Path]],
    dtype: str | None,
    advance: Advance,
) -> Ready:
    state, tokenizer = found
    like = part.build(config)[1]
    plan = weights.make_plan(state, like, part.rules, part.ignored(config))
    flat, structure = jax.tree_util.tree_flatten_with_path(like)
    leaves = [
        _lazy(plan.leaves[weights.path_of(path)], leaf, state, dtype, advance)
        for path, leaf in flat
    ]
    tree = jax.tree_util.tree_unflatten(structure, leaves)
    return Ready(part, config, state, plan, tree, tokenizer)


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
        for index, part in leaf.slices(state):
            yield index, part
            advance(part.size * stored.itemsize)

    return LazyArray(tuple(like.shape), stored, stacked, slices)


def _stored_dtype(
    leaf: weights.Leaf, rank: int, state: Mapping[str, Any], dtype: str | None
) -> np.dtype:
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
