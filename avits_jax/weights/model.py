"""Published models as records: what they consist of, and how their weights are read.

A `Part` is one network: everything that reading, splitting, converting and listing it
need to know. A `Model` is one or several of them. Loader, converter, sharding and
listing all read these records; nothing else lists a model's networks.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from avits_jax.parallel.sharding import Rules, param_shardings
from avits_jax.types import PyTree
from avits_jax.weights import checkpoint
from avits_jax.weights.config import check_sizes, config_from
from avits_jax.weights.name_map import Rule
from avits_jax.weights.network import Weights, as_dtype, check_dtype, random_weights
from avits_jax.weights.parts import read_index

Configs = Mapping[str, Any]


class Download(NamedTuple):
    """A public file, or a folder of files, that a conversion reads.

    Attributes:
        what: file or folder, as the repository names it.
        repository: where it is published.
        gigabytes: size of the download.
        licence: of the weights, as far as it is known.
    """

    what: str
    repository: str
    gigabytes: float
    licence: str


class Source(NamedTuple):
    """Where a conversion finds the weights of a network, or of a piece of it.

    Attributes:
        folders: paths inside the source folder, the first that exists counts; none: the
            source itself.
        prefix: put before all keys found there.
    """

    folders: tuple[str, ...] = ()
    prefix: str = ""


class Part(NamedTuple):
    """One network of a model.

    Attributes:
        name: of its folder in a checkpoint, and among the model's weights; "" for a
            model's only network, whose checkpoint is the model's folder itself.
        config: sizes of the published network, a frozen dataclass.
        build: ``sizes -> (static graph, shapes of the weights)``.
        rules: how published keys map onto weights, see `weights.name_map`; or ``sizes
            -> rules`` where sizes matter.
        ignored: ``sizes -> {pattern of published keys: why they are left out}``.
        split: how the weights are split over a mesh, see `parallel.sharding`.
        sources: where a conversion finds them.
        downloads: what is fetched for it.
        float32: names at the top of its weights, or patterns of their paths, that stay
            float32 in any dtype.
        float8: patterns of those that dtype "float8" holds as float8_e4m3fn; the others
            are bfloat16 then.
        optional: a checkpoint may lack it. Its sizes and its weights are () then.
    """

    name: str
    config: Any
    build: Callable[[Any], tuple[Any, PyTree]]
    rules: tuple[Rule, ...] | Callable[[Any], tuple[Rule, ...]] = ()
    ignored: Callable[[Any], Mapping[str, str]] = lambda config: {}
    split: Rules = ()
    sources: tuple[Source, ...] = (Source(),)
    downloads: tuple[Download, ...] = ()
    float32: tuple[str, ...] = ()
    float8: tuple[str, ...] = ()
    optional: bool = False

    def rules_for(self, config: Any) -> tuple[Rule, ...]:
        """Return the rules of a network of these sizes."""
        return self.rules(config) if callable(self.rules) else self.rules


def _same(trees: Any) -> Any:
    return trees


class Model(NamedTuple):
    """A published model.

    Attributes:
        name: in its checkpoints.
        parts: its networks.
        join: ``(**tree by part) -> weights``, as the model's functions take them; a
            dict by default. Of a single part "" the weights are its tree.
        reduced: sizes of a small form for trying out, by part.
        settle: puts numbers right that are no weights, among drawn ones: ``trees by
            part -> trees by part``.
        notice: what the user must know of its licence, or "".
    """

    name: str
    parts: tuple[Part, ...]
    join: Callable[..., PyTree] = dict
    reduced: Configs = {}
    settle: Callable[[dict[str, PyTree]], dict[str, PyTree]] = _same
    notice: str = ""

    @property
    def downloads(self) -> tuple[Download, ...]:
        """Return everything that is fetched for it; what is optional says so."""
        return tuple(
            each._replace(what=f"{each.what} (optional)") if part.optional else each
            for part in self.parts
            for each in part.downloads
        )

    @property
    def split(self) -> Rules:
        """Return the sharding rules of all its weights in one tree."""
        return tuple(
            (f"{part.name}/{pattern}" if part.name else pattern, dimension)
            for part in self.parts
            for pattern, dimension in part.split
        )


def read_configs(model: Model, weights: Weights, *, reduced: bool = False) -> Configs:
    """Return the sizes of a model's networks, by part; () of one that is left out.

    Args:
        model: the model.
        weights: a checkpoint, which states its sizes, or where to draw.
        reduced: of drawn weights, those of the small form.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, is half a conversion,
            lacks a part, is of another model, or its sizes make no network, or one that
            is far larger than the published one.
    """
    published = {part.name: part.config for part in model.parts}
    left_out: set[str] = set()
    if weights.folder is None:
        return {**published, **(model.reduced if reduced else {})}
    if not model.parts:
        return {}
    if "" in published:
        stated = {"": checkpoint.read_manifest(weights.folder)}
        found = stated[""]["model"]
        sizes = {"": stated[""].get("config") or {}}
    else:
        required = [part.name for part in model.parts if not part.optional]
        index = read_index(weights.folder, expect_parts=required)
        found, sizes = index.get("model"), index.get("config") or {}
        left_out = published.keys() - index["parts"].keys()
    if found != model.name:
        raise checkpoint.CheckpointError(
            f"{weights.folder} is a checkpoint of {found!r}, not {model.name!r}"
        )
    try:
        return {
            name: () if name in left_out else sizes_of(part, sizes.get(name))
            for name, part in zip(published, model.parts, strict=True)
        }
    except ValueError as error:
        raise checkpoint.CheckpointError(
            f"checkpoint {weights.folder} cannot be used: {error}"
        ) from None


def sizes_of(part: Part, stated: Any) -> Any:
    """Return a network's sizes, of which a network can be built.

    Args:
        part: the network.
        stated: JSON values by field; without any, it has the published sizes.

    Raises:
        ValueError: they are of wrong kinds, out of range, or fit together to nothing;
            one line that names them.
    """
    if not stated:
        return part.config
    config = config_from(type(part.config), stated)
    check_sizes(config, part.config)
    try:
        part.build(config)
    except Exception as error:  # of any kind: sizes that do not go together
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"the sizes in {type(config).__name__} fit no network: {reason}"
        ) from error
    return config


def shapes(model: Model, configs: Configs, dtype: str | None = None) -> PyTree:
    """Return the shapes of a model's weights, joined; nothing is read or drawn.

    Args:
        model: the model.
        configs: sizes by part.
        dtype: one of those of `weights.dtypes`; None for that of the default device.

    Raises:
        ValueError: the dtype is unknown, or none that the model can be held in.
    """
    return _joined(model, _part_shapes(model, configs, check_dtype(dtype)))


def read_parts(model: Model, weights: Weights, configs: Configs) -> PyTree:
    """Return a model's weights, joined; on a mesh no device holds more than its part.

    Args:
        model: the model.
        weights: where from.
        configs: sizes by part, from `read_configs`.

    Raises:
        CheckpointError: a part is damaged, or of other sizes than stated.
        ValueError: the dtype is unknown, or none that the model can be held in, or the
            mesh does not divide the weights.
    """
    like = _part_shapes(model, configs, check_dtype(weights.dtype))
    places = {
        part.name: None
        if weights.mesh is None or configs[part.name] == ()
        else param_shardings(like[part.name], weights.mesh, part.split)
        for part in model.parts
    }
    if weights.folder is None:
        return _joined(model, model.settle(_drawn(like, weights.seed, places)))
    trees = {
        name: checkpoint.load(
            weights.folder / name,
            like=tree,
            expect_model=f"{model.name}/{name}" if name else model.name,
            sharding=places[name],
        ).tree
        for name, tree in like.items()
        if configs[name] != ()
    }
    return _joined(model, {name: trees.get(name, ()) for name in like})


def _drawn(
    like: dict[str, PyTree], seed: int, places: dict[str, PyTree | None]
) -> dict[str, PyTree]:
    """Draw all parts; of several, a weight's path begins with its part's name."""
    drawn = {}
    for name, tree in like.items():
        named, where = (tree, places[name]) if not name else ({name: tree}, None)
        if name and places[name] is not None:
            where = {name: places[name]}
        found = random_weights(named, seed, where)
        drawn[name] = found[name] if name else found
    return drawn


def check_model_dtype(model: Model, dtype: str | None, name: str = "") -> None:
    """Refuse float8 for a model none of whose weights are held in it.

    Args:
        model: the model.
        dtype: that is asked for.
        name: by which it was asked for, for the error; its own by default.

    Raises:
        ValueError: it has no such form.
    """
    if dtype == "float8" and not any(part.float8 for part in model.parts):
        raise ValueError(
            f"dtype float8: {name or model.name} has no weights that can be held so; "
            "it takes float32 or bfloat16"
        )


def _part_shapes(model: Model, configs: Configs, dtype: str) -> dict[str, PyTree]:
    check_model_dtype(model, dtype)
    return {
        part.name: as_dtype(
            part.build(configs[part.name])[1], dtype, part.float32, part.float8
        )
        if configs[part.name] != ()
        else ()
        for part in model.parts
    }


def _joined(model: Model, trees: dict[str, PyTree]) -> PyTree:
    if not trees:
        return ()
    return trees[""] if "" in trees else model.join(**trees)
