"""Find the weight files of a network, sharded or whole, in the published layouts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from avits_jax.converting.safetensors_file import read_safetensors
from avits_jax.files.json_values import parse_json
from avits_jax.weights.file_tensors import FileTensor
from avits_jax.weights.name_map import WeightsError
from avits_jax.weights.torch_file import read_torch

_INDEX = ".index.json"
_TORCH = (".bin", ".pt", ".pth", ".ckpt")
_PREFERRED = ("model", "diffusion_pytorch_model", "pytorch_model")
_OTHERS = ("training_args", "optimizer", "scheduler", "rng_state")
_TOKENIZER = (
    "added_tokens.json",
    "chat_template.json",
    "merges.txt",
    "preprocessor_config.json",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_VOCABULARY = ("spiece.model", "tokenizer.json", "vocab.json")


class LoraFile(NamedTuple):
    """A file of low-rank updates to be merged.

    Attributes:
        file: where it is.
        scale: strength of its updates.
    """

    file: Path
    scale: float = 1.0


class Found(NamedTuple):
    """What a source holds of one network.

    Attributes:
        state: its keys, and tensors in their files.
        tokenizer: files copied along, by their path in the checkpoint.
        dropped: keys that are left out, beside those that the part's record names ->
            why.
    """

    state: Mapping[str, Any]
    tokenizer: Mapping[str, Path] = {}
    dropped: Mapping[str, str] = {}


def read_weights(path: Path) -> dict[str, FileTensor]:
    """Return the state dict at ``path``, its tensors unread.

    Args:
        path: a weight file (.safetensors, .bin, .pt, .pth, .ckpt), an index of shards
            (.index.json), or a folder with one of these.

    Raises:
        WeightsError: there is none, there are several to choose from, or a file is
            damaged.
    """
    if path.is_dir():
        path = _pick(path)
    if not path.is_file():
        raise WeightsError(f"{path} does not exist")
    if path.name.endswith(_INDEX):
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix in _TORCH:
        return read_torch(path)
    kinds = ", ".join((".safetensors", ".index.json", *_TORCH))
    raise WeightsError(f"{path} is no weight file (they end in {kinds})")


def tokenizer_files(folder: Path) -> dict[str, Path]:
    """Return a source folder's tokenizer files, by their paths in a checkpoint.

    They lie beside the weights, or in ``tokenizer/`` or ``base/`` below them.
    """
    if not folder.is_dir():
        folder = folder.parent
    for place in (folder, folder / "tokenizer", folder / "base"):
        if any((place / name).is_file() for name in _VOCABULARY):
            found = ((name, place / name) for name in _TOKENIZER)
            return {f"tokenizer/{name}": path for name, path in found if path.is_file()}
    return {}


def _pick(folder: Path) -> Path:
    """Pick a folder's weight file; safetensors before pickles, indices before files."""
    names = sorted(path for path in folder.iterdir() if path.is_file())
    groups = [
        [p for p in names if p.name.endswith(".safetensors.index.json")],
        [p for p in names if p.suffix == ".safetensors"],
        [p for p in names if p.name.endswith(".bin.index.json")],
        [p for p in names if p.suffix in _TORCH and p.stem not in _OTHERS],
    ]
    for group in filter(None, groups):
        plain = [p for p in group if p.name.split(".")[0] in _PREFERRED]
        exact = [p for p in plain if p.name.count(".") == 1]
        for choice in (group, plain, exact):
            if len(choice) == 1:
                return choice[0]
        listed = ", ".join(path.name for path in group)
        raise WeightsError(f"{folder} holds several weight files, name one: {listed}")
    raise WeightsError(f"{folder} holds no weight file")


def _read_shards(index: Path) -> dict[str, FileTensor]:
    listed = _read_index(index)
    shards = sorted(set(listed.values()))
    absent = [name for name in shards if not (index.parent / name).is_file()]
    if absent:
        raise WeightsError(
            f"{index.parent} lacks {some(absent)}, which its index names"
        )
    state: dict[str, FileTensor] = {}
    homes: dict[str, str] = {}
    for name in shards:
        for key, tensor in read_weights(index.parent / name).items():
            if key in state:
                raise WeightsError(f"{key} is in both {homes[key]} and {name}")
            state[key], homes[key] = tensor, name
    astray = sorted(key for key in listed if homes.get(key) != listed[key])
    if astray:
        raise WeightsError(f"{index.parent}: shards lack {some(astray)} of the index")
    return state


def _read_index(index: Path) -> dict[str, str]:
    """Return the shard of every key."""
    try:
        listed = parse_json(index.read_text("utf-8"))["weight_map"]
        named = all(isinstance(name, str) for name in listed.values())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is no index of shards: {error!r}") from None
    if not named:
        raise WeightsError(f"{index} is no index of shards: not all names are text")
    for name in listed.values():
        if Path(name).name != name or not name.isprintable():
            raise WeightsError(f"{index} names shards outside its folder")
        if name.endswith(_INDEX):
            raise WeightsError(f"{index} names {name!r}, an index, as a shard")
    return listed


def some(names: Iterable[str], most: int = 8) -> str:
    """Return the first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
