"""Find what a source holds of all networks of a model, in the layout it is in."""

from pathlib import Path
from typing import Any

from avits_jax.converting.files import Found, tokenizer_files
from avits_jax.converting.models import finder_of, reader_of
from avits_jax.weights.model import Model, Part, Source
from avits_jax.weights.name_map import WeightsError

_Places = list[tuple[str, Path]]


def find(model: Model, source: Path) -> tuple[dict[str, Found], list[str]]:
    """Return what there is of every network, by part, and what is wrong with the rest.

    Only headers are read. Optional parts that are not there are left out.

    Args:
        model: what is looked for.
        source: file or folder with the published weights.

    Raises:
        WeightsError: files are missing.
    """
    if not source.exists():
        raise WeightsError(f"{source} does not exist")
    finder = finder_of(model)
    if finder is not None:
        found = finder(model, source)
        absent = [each.name for each in model.parts if each.name not in found]
        _check_absent(model, source, {name: [name] for name in absent})
        return found, []
    places = {part.name: _places(part, source) for part in model.parts}
    lacking = {
        part.name: [
            each.folders[0] for each in part.sources if not _place(each, source)
        ]
        for part in model.parts
    }
    _check_absent(model, source, lacking)
    return _read_all(model, {n: x for n, x in places.items() if not lacking[n]})


def _check_absent(model: Model, source: Path, lacking: dict[str, list[str]]) -> None:
    """Refuse a source that lacks what is not optional."""
    optional = {part.name for part in model.parts if part.optional}
    absent = [each for name, x in lacking.items() if name not in optional for each in x]
    if absent:
        wanted = "; ".join(f"{e.what} from {e.repository}" for e in model.downloads)
        raise WeightsError(f"{source} lacks {', '.join(absent)} (needed: {wanted})")


def _places(part: Part, root: Path) -> _Places:
    """Return (prefix, path) of every source of a network that is there."""
    found = [(each.prefix, _place(each, root)) for each in part.sources]
    return [(prefix, path) for prefix, path in found if path is not None]


def _place(source: Source, root: Path) -> Path | None:
    """Return the path under ``root``, None where there is none of them."""
    if not source.folders:
        return root
    found = (root / name for name in source.folders)
    return next((path for path in found if path.exists()), None)


def _read_all(
    model: Model, places: dict[str, _Places]
) -> tuple[dict[str, Found], list[str]]:
    """Read the headers of all networks; those that are damaged are said together."""
    found, problems = {}, []
    for name, own in places.items():
        try:
            found[name] = _read(model, own)
        except WeightsError as error:
            problems.append(f"{name}: {error}" if name else str(error))
    return found, problems


def _read(model: Model, places: _Places) -> Found:
    """Return the source keys of one network, and its tokenizer's files."""
    state: dict[str, Any] = {}
    tokenizer: dict[str, Path] = {}
    read = reader_of(model)
    for prefix, path in places:
        state |= {prefix + key: value for key, value in read(path).items()}
        tokenizer |= tokenizer_files(path)
    return Found(state, tokenizer)
