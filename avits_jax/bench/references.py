"""Features of real clips, which distances compare with, and how they are kept.

Ours are one safetensors file: features, the rows of the prompts that they are of, and
in its metadata what made them, with a digest of it all. Published ones are read as they
are: JavisBench's cache (``{"video": [N, 400], "audio": [N, 1024]}``, rows in the order
of the CSV, in a torch file) and the folders of av-benchmark.

Upstream: JavisVerse/JavisDiT at b505b37,
eval/javisbench/tools/extract_gt_fvd_fad_feat.py; hkchengrex/av-benchmark at 050a5cd,
av_bench/extract.py.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from avits_jax.bench.columns import BENCH
from avits_jax.bench.evaluated import Evaluated
from avits_jax.bench.protocol import Protocol, protocol_from_json
from avits_jax.files.atomic import replacing
from avits_jax.files.json_values import parse_json
from avits_jax.weights.name_map import WeightsError
from avits_jax.weights.torch_file import read_torch, read_torch_table
from avits_jax.weights.torch_saving import write_torch

_FORMAT = "avits reference features 1"
_ROWS, _COUNTS = "rows", ".counts"
_JAVISBENCH = {"video": "i3d", "audio": "audioclip"}
_WIDTHS = {"i3d": 400, "audioclip": 1024}
# Files of av-benchmark, and what they hold of every clip under which name.
_AV_BENCH = {
    "pann_features.pth": {"2048": "panns", "logits": "panns_logits"},
    "vggish_features.pth": {"": "vggish"},
    "passt_features_embed.pth": {"": "passt"},
    "passt_logits.pth": {"": "passt_logits"},
}

PerClip = list[np.ndarray]


@dataclass(frozen=True)
class References:
    """Features of real clips.

    Attributes:
        features: name -> one array per clip.
        rows: ``[M]`` the row of the prompts that each clip is of, ascending; None for
            clips that belong to no prompts.
        made: the protocol of their evaluation; None for published ones, of which it is
            not known.
        mode: how they were read, "bench" for published ones.
        source: where they come from, in words.
    """

    features: Mapping[str, PerClip]
    rows: Int[np.ndarray, " M"] | None
    made: Protocol | None
    mode: str
    source: str

    @property
    def digest(self) -> str:
        """Return the SHA-256 of names, shapes, rows and numbers."""
        return _digest(_arrays(self))


def read_published(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read JavisBench's cache of real features.

    How they were made is not in the file; it is taken to be what ``bench`` mode does
    (24 frames over the whole clip; 4 s of sound at 16 kHz).

    Args:
        path: the torch file; on whichever device its tensors were.

    Returns:
        ``i3d`` [N, 400] and ``audioclip`` [N, 1024], float32, row i of CSV row i.

    Raises:
        ValueError: the file is no such cache.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"reference features {path} do not exist")
    try:
        found = {key: np.asarray(value) for key, value in read_torch(path).items()}
    except WeightsError as error:
        raise ValueError(f"{error}") from error
    if found.keys() != _JAVISBENCH.keys():
        raise ValueError(
            f"{path} is no cache of JavisBench's features: it must hold video and "
            f"audio, it holds {', '.join(found)}"
        )
    features = {_JAVISBENCH[key]: value for key, value in found.items()}
    count = len(features["i3d"])
    for name, value in features.items():
        if value.shape != (count, _WIDTHS[name]) or value.dtype != np.float32:
            raise ValueError(
                f"{path} is no cache of JavisBench's features: {name} must be float32 "
                f"[{count}, {_WIDTHS[name]}], got {value.dtype} {list(value.shape)}"
            )
    return features


def write_published(
    path: str | os.PathLike[str], features: Mapping[str, np.ndarray]
) -> None:
    """Write JavisBench's cache of real features, for its own program to read.

    Args:
        path: the torch file.
        features: ``i3d`` [N, 400] and ``audioclip`` [N, 1024], row i of CSV row i.

    Raises:
        ValueError: one of the two is missing.
        OSError: the file cannot be written.
    """
    for name in _JAVISBENCH.values():
        if name not in features:
            raise ValueError(f"features must hold {name}, got {', '.join(features)}")
    write_torch(path, {key: features[name] for key, name in _JAVISBENCH.items()})


def read_references(
    path: str | os.PathLike[str], ids: Sequence[str] | None = None
) -> References:
    """Read reference features of any kind.

    Args:
        path: a .safetensors file of `write_references`, JavisBench's .pt, or a folder
            of av-benchmark.
        ids: names of the prompts' clips, in order; needed for a folder of av-benchmark,
            of which clips with other names are left out.

    Raises:
        ValueError: it is none of these, or is damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _read_av_bench(path, ids)
    if path.suffix == ".safetensors":
        return _read_own(path)
    if path.suffix in (".pt", ".pth"):
        found = {name: list(value) for name, value in read_published(path).items()}
        rows = np.arange(len(found["i3d"]))
        return References(found, rows, None, BENCH, f"JavisBench's cache {path.name}")
    raise ValueError(
        f"reference features {path} must be a .safetensors file, JavisBench's .pt or a "
        "folder of av-benchmark"
    )


def write_references(path: str | os.PathLike[str], references: References) -> None:
    """Write reference features as one .safetensors file, atomically.

    Args:
        path: the file.
        references: whose protocol is known.

    Raises:
        ValueError: it is not known what made them.
        OSError: the file cannot be written.
    """
    if references.made is None:
        raise ValueError(f"{references.source} do not say what made them")
    arrays = _arrays(references)
    metadata = {
        "format": _FORMAT,
        "made": json.dumps(references.made.to_json(), allow_nan=False),
        "source": references.source,
        "digest": _digest(arrays),
    }
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata)


def references_of(evaluated: Evaluated) -> References:
    """Return the features of real clips that were evaluated as clips are.

    Args:
        evaluated: a folder of real clips, named by the prompts they belong to; clips
            that lack a feature are left out.

    Raises:
        ValueError: no clip has features.
    """
    names = list(evaluated.features)
    held = [set(rows) for rows in evaluated.features.values()]
    rows = sorted(set.intersection(*held)) if held else []
    if not rows:
        raise ValueError(f"no clip of {evaluated.method.name} has features")
    features = {name: [evaluated.features[name][r] for r in rows] for name in names}
    protocol = evaluated.protocol
    source = f"features of {evaluated.method.name}"
    return References(features, np.array(rows), protocol, protocol.mode, source)


def require_fitting(
    references: References, protocol: Protocol, needed: Sequence[str]
) -> None:
    """Refuse references that a table cannot be made with.

    Args:
        references: of real clips.
        protocol: of the clips that are judged.
        needed: names of features that must be there.

    Raises:
        ValueError: features are missing, or were made in another mode, with other
            weights, by another decoder, or of other prompts.
    """
    source = references.source
    for name in needed:
        if name not in references.features:
            held = ", ".join(references.features)
            raise ValueError(f"{source} hold no {name} features; they hold {held}")
    if references.mode != protocol.mode:
        raise ValueError(
            f"{source} are of mode {references.mode!r}, the clips were evaluated in "
            f"mode {protocol.mode!r}"
        )
    if references.made is None:
        return
    made = references.made
    for what in ("checkpoints", "decoders"):
        ours, theirs = getattr(protocol, what), getattr(made, what)
        for key in sorted(ours.keys() & theirs):
            if ours[key] != theirs[key]:
                raise ValueError(
                    f"{source} were made with other {what}: {key} is {theirs[key]}, "
                    f"that of the evaluation {ours[key]}"
                )
    if references.rows is not None and made.prompts != protocol.prompts:
        raise ValueError(f"{source} are of other prompts than the evaluation")


def _arrays(references: References) -> dict[str, np.ndarray]:
    """Return features as arrays: of several rows a clip, all rows and their counts."""
    arrays: dict[str, np.ndarray] = {}
    for name, clips in references.features.items():
        if all(clip.ndim == 1 for clip in clips):
            arrays[name] = np.stack(clips)
        else:
            arrays[name] = np.concatenate(clips)
            arrays[name + _COUNTS] = np.array([len(clip) for clip in clips], np.int64)
    if references.rows is not None:
        arrays[_ROWS] = np.asarray(references.rows, np.int64)
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read_own(path: Path) -> References:
    if not path.is_file():
        raise ValueError(f"reference features {path} do not exist")
    try:
        with safe_open(path, "numpy") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path} holds no reference features of avits")
    if metadata.get("digest") != _digest(arrays):
        raise ValueError(f"{path} is damaged: its digest does not match")
    made = protocol_from_json(parse_json(metadata["made"]), f"{path}: ")
    rows = arrays.pop(_ROWS, None)
    features = {
        name: _per_clip(value, arrays.get(name + _COUNTS))
        for name, value in arrays.items()
        if not name.endswith(_COUNTS)
    }
    return References(
        features, rows, made, made.mode, metadata.get("source", path.name)
    )


def _per_clip(array: np.ndarray, counts: np.ndarray | None) -> PerClip:
    return list(array) if counts is None else np.split(array, np.cumsum(counts)[:-1])


def _read_av_bench(folder: Path, ids: Sequence[str] | None) -> References:
    """Read what a folder holds of the clips that all of its files have."""
    if ids is None:
        raise ValueError(f"ids must name the clips of {folder}, whose files go by name")
    tables = {}
    for file in _AV_BENCH:
        if (folder / file).is_file():
            try:
                tables[file] = read_torch_table(folder / file)
            except WeightsError as error:
                raise ValueError(f"{error}") from error
    if not tables:
        raise ValueError(f"{folder} holds none of {', '.join(_AV_BENCH)}")
    there = [
        row
        for row, clip in enumerate(ids)
        if all(clip in table for table in tables.values())
    ]
    if not there:
        raise ValueError(f"{folder} holds features of none of the prompts' clips")
    features = {
        name: [_of_clip(folder / file, table[ids[row]], key) for row in there]
        for file, table in tables.items()
        for key, name in _AV_BENCH[file].items()
    }
    source = f"av-benchmark's features in {folder.name}"
    return References(features, np.array(there), None, BENCH, source)


def _of_clip(path: Path, held: Mapping[str, Any], key: str) -> np.ndarray:
    if key not in held:
        raise ValueError(f"{path} is of another metric: it holds {', '.join(held)}")
    return np.asarray(held[key], np.float32)
