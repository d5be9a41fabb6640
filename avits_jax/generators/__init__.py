"""Generators by name: networks, weights and tokenizers behind one contract.

A new generator is a folder here, and a row in the one table, FAMILIES, of
`catalogue.generators`::

    config.py     sizes of its networks, frozen dataclasses
    modeling.py   the networks (Flax NNX); several files where they are several
    params.py     how published keys map onto weights (`weights.name_map` rules)
    sharding.py   which matrices may be split over a mesh
    parts.py      MODEL: the networks as records (`weights.model`), with reduced sizes
    generator.py  the pure functions of a `Generator`
    load.py       MODEL again, Options, and make(configs, files, options) -> Generator;
                  make_refiner(configs, files, options) -> Refiner where there is a
                  second stage

Loading, shapes, conversion, sharding, memory estimates, listings and the command line
read the table and the records. The table is an argument everywhere (``families=``), so
that a generator from elsewhere comes in the same way.
"""

import importlib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jax.sharding import Mesh

from avits_jax.catalogue.generators import (
    FAMILIES,
    IMAGE,
    REFINE,
    Family,
    infos,
    lacking,
)
from avits_jax.catalogue.records import Info, nearest
from avits_jax.catalogue.resolve import (
    Resolved,
    find_model,
    resolve_model,
    resolve_refiner,
)
from avits_jax.types import Generator, PyTree, Refiner

if TYPE_CHECKING:
    from avits_jax.weights.model import Configs, Model
    from avits_jax.weights.network import Weights

MadeT = TypeVar("MadeT")

__all__ = [
    "FAMILIES",
    "Family",
    "Option",
    "abilities",
    "available",
    "lacking",
    "load",
    "load_refiner",
    "options",
    "randomly_initialised",
    "shapes",
]


class Option(NamedTuple):
    """One of a model's own options.

    Attributes:
        kind: its annotation.
        default: where none is given; None for the model's own choice.
        description: one line.
    """

    kind: Any
    default: Any
    description: str


def available(families: Sequence[Family] = FAMILIES) -> list[Info]:
    """Return what `load` knows by name."""
    return infos(families)


def options(name: str, families: Sequence[Family] = FAMILIES) -> dict[str, Option]:
    """Return a model's own options, which `load` takes as keyword arguments.

    Args:
        name: one of `available`, or a checkpoint folder.
        families: the table.

    Raises:
        ValueError: the name is unknown.
    """
    from docstring_parser import parse

    own = _module(_family(find_model(name, families)[0], families)).Options
    described = {each.arg_name: each.description for each in parse(own.__doc__).params}
    kinds = typing.get_type_hints(own)
    return {
        key: Option(kinds[key], default, " ".join((described[key] or "").split()))
        for key, default in own._field_defaults.items()
    }


def load(
    name: str | Resolved,
    *,
    families: Sequence[Family] = FAMILIES,
    dtype: str | None = None,
    random_weights: bool = False,
    seed: int = 0,
    mesh: Mesh | None = None,
    **options: Any,
) -> tuple[Generator, PyTree]:
    """Load a generator and its weights.

    Args:
        name: a name of `available`, or a checkpoint folder; or what
            `catalogue.resolve` made of it.
        families: the table.
        dtype: "float32" or "bfloat16"; None for bfloat16 on accelerators and float32 on
            a CPU. Mini's is float32 whatever is asked for. "float8" holds linear layers
            in 8 bits, of models that have such a form.
        random_weights: draw weights that are missing; clips are then noise.
        seed: of drawn weights.
        mesh: read weights straight onto these devices, split over its model axis (see
            `avits_jax.parallel`); None for the default device.
        **options: the model's own, see `options`; ``num_steps`` and ``guidance_scale``
            are most models'. None stands for the model's default.

    Returns:
        The generator and its weights.

    Raises:
        ValueError: the name is unknown, the checkpoint is missing, damaged or of
            another model, or an option is unknown or out of range.

    Example:
        >>> generator, params = avits.generators.load("mini", num_steps=12)
    """
    from avits_jax.weights.model import read_parts

    resolved = _resolved(name, random_weights, families)
    family = _family(resolved.info, families)
    weights = _weights(resolved, dtype, seed, mesh)
    make = _module(family).make
    generator, model, configs = _made(family, weights, options, make)
    return generator, read_parts(model, weights, configs)


def load_refiner(
    name: str | Resolved,
    *,
    families: Sequence[Family] = FAMILIES,
    dtype: str | None = None,
    random_weights: bool = False,
    seed: int = 0,
    mesh: Mesh | None = None,
    params: PyTree = None,
    **options: Any,
) -> tuple[Refiner, PyTree]:
    """Load the second stage of a generator, and its weights, for `avits.refine`.

    Args:
        name: of the generator that searches, as for `load`; or what
            `catalogue.resolve.resolve_refiner` made of it.
        families: the table.
        dtype: as for `load`, likewise the others.
        random_weights: draw weights that are missing.
        seed: of drawn weights.
        mesh: read weights onto these devices.
        params: weights that are loaded already, where a model refines with its own
            (`Family.refines_with` is ""); None reads them.
        **options: those that the generator was loaded with but for ``half_size``: the
            size is that of the refined clips.

    Returns:
        The refiner and its weights.

    Raises:
        ValueError: as `load`; or the model has no second stage.

    Example:
        >>> small, params = avits.generators.load("ltx-2.3", half_size=True)
        >>> refiner, more = avits.generators.load_refiner("ltx-2.3")
    """
    from avits_jax.weights.model import read_parts

    if isinstance(name, str):
        resolved = resolve_model(name, random_weights, families)
        name = resolve_refiner(resolved, random_weights, families)
    family = _family(name.info, families)
    module = _module(family)
    if not hasattr(module, "make_refiner"):
        raise ValueError(lacking(name.info.name, REFINE, families))
    weights = _weights(name, dtype, seed, mesh)
    refiner, model, configs = _made(family, weights, options, module.make_refiner)
    if params is None:
        params = read_parts(model, weights, configs)
    return refiner, params


def abilities(
    name: str | Resolved, families: Sequence[Family] = FAMILIES
) -> frozenset[str]:
    """Return what a model can that not all can; no weights are read.

    Args:
        name: of its family, for what the published model can; or what
            `catalogue.resolve` made of it, for what its checkpoint can as well, which
            may lack the part that reads pictures.
        families: the table.

    Returns:
        See `Family.abilities`.
    """
    if isinstance(name, str):
        (family,) = (each for each in families if each.name == name)
        return frozenset(family.abilities)
    family = _family(name.info, families)
    if IMAGE in family.abilities and name.folder is not None:
        make = _module(family).make
        generator, _, _ = _made(family, _weights(name, None), {}, make)
        if generator.with_image is None:
            return frozenset(family.abilities) - {IMAGE}
    return frozenset(family.abilities)


def shapes(
    name: str | Resolved,
    *,
    families: Sequence[Family] = FAMILIES,
    dtype: str | None = None,
    random_weights: bool = False,
    **options: Any,
) -> tuple[Generator, PyTree]:
    """Return a generator and the shapes of its weights; none is read or drawn.

    With them a program is lowered and compiled at full size anywhere.

    Args:
        name: as for `load`, likewise the others.
        families: the table.
        dtype: of the weights.
        random_weights: take the published sizes where the checkpoint is missing.
        **options: the model's own.

    Raises:
        ValueError: as `load`.
    """
    from avits_jax.weights.model import shapes as model_shapes

    resolved = _resolved(name, random_weights, families)
    weights = _weights(resolved, dtype)
    family = _family(resolved.info, families)
    make = _module(family).make
    generator, model, configs = _made(family, weights, options, make)
    return generator, model_shapes(model, configs, weights.dtype)


def randomly_initialised(
    name: str, random_weights: bool = False, families: Sequence[Family] = FAMILIES
) -> tuple[str, ...]:
    """Return the name if its weights are drawn, so that its clips are noise.

    Args:
        name: as for `load`.
        random_weights: as for `load`.
        families: the table.
    """
    resolved = resolve_model(name, True, families)
    drawn = resolved.drawn and (random_weights or resolved.info.random)
    return (name,) if drawn else ()


def _resolved(
    name: str | Resolved, random_weights: bool, families: Sequence[Family]
) -> Resolved:
    if isinstance(name, str):
        return resolve_model(name, random_weights, families)
    return name


def _family(info: Info, families: Sequence[Family]) -> Family:
    return next(each for each in families if each.name == info.name)


def _weights(
    resolved: Resolved, dtype: str | None, seed: int = 0, mesh: Mesh | None = None
) -> "Weights":
    from avits_jax.weights.network import Weights, check_dtype

    return Weights(resolved.folder, check_dtype(dtype), seed, mesh)


def _made(
    family: Family,
    weights: "Weights",
    options: Mapping[str, Any],
    make: Callable[..., MadeT],
) -> tuple[MadeT, "Model", "Configs"]:
    """Return what a family makes, its networks as records, and their sizes."""
    # Networks are imported when they are asked for: the core must stay quick to import.
    from avits_jax.weights.model import check_model_dtype, read_configs

    module = _module(family)
    check_model_dtype(module.MODEL, weights.dtype, family.name)
    given = {key: value for key, value in options.items() if value is not None}
    _check_names(family, module.Options._fields, given)
    configs = read_configs(module.MODEL, weights, reduced=family.reduced)
    form = {"reduced": True} if family.reduced else {}
    made = make(configs, weights.folder, module.Options(**given), **form)
    return made, module.MODEL, configs


def _check_names(family: Family, own: Sequence[str], given: Iterable[str]) -> None:
    for key in given:
        if key not in own:
            raise ValueError(
                f"{family.name} has no option {key!r} (it has: {', '.join(own)})"
                f"{nearest(key, own)}"
            )


def _module(family: Family) -> Any:
    return importlib.import_module(family.module)
