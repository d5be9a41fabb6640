"""Map a flat PyTorch-style state dict onto a tree of parameters by declarative rules.

A `Rule` names source keys and one target leaf by dotted patterns. ``{name}`` stands for
one part of a key; a capture that the target does not mention numbers a stacked axis, so
``"blocks.{layer}.mlp.fc1.weight" -> "blocks.mlp.up.kernel"`` stacks all layers.

Sources are read leaf by leaf: a value needs ``shape`` and ``dtype``, and is turned into
an array only when its leaf is built. Shapes alone are enough to check a manifest.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from avits_jax.types import PyTree

Transform = Callable[..., np.ndarray]


# Numbers of layers as they are written: one way for each, none of any length.
_NUMBER = "0|[1-9][0-9]{0,5}"
_MOST_SHOWN = 100


class WeightsError(ValueError):
    """Keys that are missing, unused, doubled or wrongly shaped, all in one line.

    Names in files may hold line breaks; they count as blanks here.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def _linear(weight: np.ndarray) -> np.ndarray:
    """Turn ``[out, in]`` into ``[in, out]``."""
    return np.swapaxes(weight, -1, -2)


def _conv(weight: np.ndarray) -> np.ndarray:
    """Turn ``[out, in, *window]`` into ``[*window, in, out]``."""
    return np.moveaxis(weight, (1, 0), (-2, -1))


def _conv_transpose(weight: np.ndarray) -> np.ndarray:
    """Turn ``[in, out, *window]`` into ``[*window, in, out]``, the window reversed.

    That is the kernel of the equivalent convolution over a dilated input.
    """
    return np.flip(np.moveaxis(weight, (0, 1), (-2, -1)), tuple(range(weight.ndim - 2)))


def _pointwise(weight: np.ndarray) -> np.ndarray:
    """Turn ``[out, in, 1, ...]`` into ``[in, out]``."""
    return weight.reshape(weight.shape[:2]).T


def _weight_norm(scale: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return ``scale * direction / |direction|``, normed over axes but the first.

    ``torch.nn.utils.weight_norm`` with ``dim=0``.
    """
    axes = tuple(range(1, direction.ndim))
    norm = np.sqrt(np.sum(np.square(direction), axes, keepdims=True))
    return direction * (scale / np.maximum(norm, np.finfo(np.float32).tiny))


TRANSFORMS: dict[str, Transform] = {
    "copy": lambda value: value,
    "linear": _linear,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "pointwise": _pointwise,
    "weight_norm_conv": lambda g, v: _conv(_weight_norm(g, v)),
    "weight_norm_conv_transpose": lambda g, v: _conv_transpose(_weight_norm(g, v)),
}

# How rows of a leaf are made of an unread matrix, the rest of which stays unread. A
# transform that is no name may have such a method, ``rows``.
_ROWS: dict[Any, Callable[[Any, int, int], np.ndarray]] = {
    "copy": lambda value, start, stop: np.asarray(value.block(0, start, stop)),
    "linear": lambda value, start, stop: np.asarray(value.block(1, start, stop)).T,
}


@dataclass(frozen=True)
class Rule:
    """One leaf of the parameters, or one per value of the captures.

    Attributes:
        source: dotted pattern of the source key, or several of them whose values are
            combined (all must hold the same captures).
        target: dotted pattern of the leaf.
        transform: a name in `TRANSFORMS`, or a function of the source arrays.
        fallback: used only where no other rule gives the target; where one does, the
            source key counts as a known duplicate.
    """

    source: str | tuple[str, ...]
    target: str
    transform: str | Transform = "copy"
    fallback: bool = False

    def __post_init__(self) -> None:
        known = callable(self.transform) or self.transform in TRANSFORMS
        if not known:
            raise ValueError(
                f"transform is {self.transform!r}; accepted are a function or one of "
                f"{', '.join(TRANSFORMS)}"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the patterns of all source keys."""
        return (self.source,) if isinstance(self.source, str) else self.source

    @cached_property
    def stacked(self) -> tuple[str, ...]:
        """Return the captures that number stacked axes, outermost first."""
        kept = re.findall(r"{(\w+)}", self.target)
        found = re.findall(r"{(\w+)}", self.sources[0])
        return tuple(name for name in found if name not in kept)

    def convert(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Apply the transform to the source arrays."""
        transform = self.transform
        if isinstance(transform, str):
            transform = TRANSFORMS[transform]
        return transform(*arrays)


class Piece(NamedTuple):
    """Source keys of one slice of a leaf.

    Attributes:
        position: index along the stacked axes, ``()`` where there are none.
        keys: source keys, one per pattern of the rule.
    """

    position: tuple[int, ...]
    keys: tuple[str, ...]


@dataclass
class Leaf:
    """How one target leaf is made.

    Attributes:
        rule: the rule that gives it.
        pieces: its slices, by index.
        stack: sizes of the stacked axes.
    """

    rule: Rule
    pieces: list[Piece] = field(default_factory=list)

    @property
    def stack(self) -> tuple[int, ...]:
        """Return the lengths of the stacked axes; () where nothing is stacked."""
        if not self.rule.stacked:
            return ()
        axes = zip(*(piece.position for piece in self.pieces), strict=True)
        return tuple(1 + max(axis) for axis in axes)

    def slices(self, source: Mapping[str, Any]) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield converted slices with their index, one at a time."""
        for piece in self.pieces:
            arrays = [np.asarray(source[key]) for key in piece.keys]
            yield piece.position, self.rule.convert(arrays)

    def blocks(
        self, source: Mapping[str, Any], shape: tuple[int, ...], rows: int
    ) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield what `slices` does, a leaf of an unread matrix in blocks of rows.

        Args:
            source: as `make_plan` takes it.
            shape: of the leaf.
            rows: in a block.
        """
        value, transform = source[self.pieces[0].keys[0]], self.rule.transform
        cut = getattr(transform, "rows", None) or _ROWS.get(transform)
        matrix = len(value.shape) == 2 and hasattr(value, "block")
        if self.rule.stacked or cut is None or not matrix:
            yield from self.slices(source)
            return
        for start in range(0, shape[0], rows):
            stop = min(start + rows, shape[0])
            yield (slice(start, stop),), cut(value, start, stop)


class Plan(NamedTuple):
    """A checked assignment of every source key.

    Attributes:
        leaves: how each leaf is made, by dotted path, in the order of the tree.
        ignored: source keys left out on purpose, with the reason.
    """

    leaves: dict[str, Leaf]
    ignored: dict[str, str]


def linear(source: str, target: str, **kwargs) -> tuple[Rule, ...]:
    """Return a torch Linear's rules: ``weight`` to ``kernel``, transposed, ``bias``."""
    return _layer(source, target, "kernel", "linear", **kwargs)


def conv(source: str, target: str, **kwargs) -> tuple[Rule, ...]:
    """Return the rules of a torch convolution of any rank.

    ``weight`` becomes ``kernel``, ``bias`` stays.
    """
    return _layer(source, target, "kernel", "conv", **kwargs)


def norm(source: str, target: str, **kwargs) -> tuple[Rule, ...]:
    """Return the rules of an affine norm: ``weight`` to ``scale``, and ``bias``."""
    return _layer(source, target, "scale", "copy", **kwargs)


def batch_norm(source: str, target: str) -> tuple[Rule, ...]:
    """Return the rules of a batch norm, its statistics included."""
    return (
        *norm(source, target),
        Rule(f"{source}.running_mean", f"{target}.mean"),
        Rule(f"{source}.running_var", f"{target}.variance"),
    )


def embedding(source: str, target: str) -> tuple[Rule, ...]:
    """Return the rule of a lookup table: ``weight`` to ``embedding``."""
    return (Rule(f"{source}.weight", f"{target}.embedding"),)


def _layer(source, target, name, transform, **kwargs) -> tuple[Rule, ...]:
    return (
        Rule(f"{source}.weight", f"{target}.{name}", transform, **kwargs),
        Rule(f"{source}.bias", f"{target}.bias", **kwargs),
    )


def prefixed(
    rules: Iterable[Rule], source: str = "", target: str = ""
) -> tuple[Rule, ...]:
    """Put something before every source and every target of rules."""
    return tuple(
        replace(
            rule,
            source=tuple(source + pattern for pattern in rule.sources),
            target=target + rule.target,
        )
        for rule in rules
    )


def path_of(path: Sequence[Any]) -> str:
    """Return the dotted form of a jax key path, without an nnx variable's ``value``."""
    parts = []
    for entry in path:
        part = getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", "")))
        parts.append(str(part))
    if (
        parts
        and isinstance(path[-1], jax.tree_util.GetAttrKey)
        and parts[-1] == "value"
    ):
        parts.pop()
    return ".".join(parts)


@cache
def _compiled(pattern: str, stacked: tuple[str, ...]) -> re.Pattern[str]:
    """Return a dotted pattern's regular expression; stacked captures are numbers."""
    text = ""
    for literal, name in re.findall(r"([^{]*)(?:{(\w+)})?", pattern):
        text += re.escape(literal)
        if name:
            text += f"(?P<{name}>{_NUMBER if name in stacked else '[^.]+'})"
    return re.compile(text)


def _add_rule(
    rule: Rule,
    keys: Mapping[str, Any],
    leaves: dict[str, Leaf],
    ignored: dict[str, str],
    problems: list[str],
) -> set[str]:
    """Add every leaf that ``rule`` gives, and return the keys it knows."""
    first, *others = rule.sources
    matching = _compiled(first, rule.stacked)
    used: set[str] = set()
    made: dict[str, Leaf] = {}
    for key in keys:
        found = matching.fullmatch(key)
        if not found:
            continue
        names = found.groupdict()
        together = (key, *(pattern.format(**names) for pattern in others))
        absent = [other for other in together if other not in keys]
        if absent:
            problems.append(f"missing: {', '.join(absent)} (needed with {key})")
            used |= set(together) - set(absent)
            continue
        used |= set(together)
        index = tuple(int(names[name]) for name in rule.stacked)
        leaf = made.setdefault(rule.target.format(**names), Leaf(rule))
        leaf.pieces.append(Piece(index, together))
    for target, leaf in made.items():
        if target not in leaves:
            leaves[target] = leaf
        elif rule.fallback:
            ignored |= {k: f"{target} is given" for p in leaf.pieces for k in p.keys}
        else:
            both = [leaves[target].pieces[0].keys[0], leaf.pieces[0].keys[0]]
            problems.append(f"doubled: {' and '.join(both)} both give {target}")
    return used


def _check_leaf(
    path: str, leaf: Leaf, source: Mapping[str, Any], expected: tuple[int, ...]
) -> list[str]:
    """Return one leaf's problems: gaps in its numbering, slices of the wrong shape."""
    leaf.pieces.sort(key=lambda piece: piece.position)
    stack = leaf.stack
    wanted = expected[: len(stack)]
    present = {piece.position for piece in leaf.pieces}
    # A file may number its layers as it likes: only those that can be are looked for.
    known = (min(own, most) for own, most in zip(stack, wanted, strict=True))
    gaps = [index for index in np.ndindex(*known) if index not in present]
    problems = [f"missing: part {index} of {path}" for index in gaps]
    if stack != wanted:
        problems.append(f"shape: {path} has {stack} layers, expected {wanted}")
    for piece in leaf.pieces:
        shapes = [tuple(source[key].shape) for key in piece.keys]
        got = _converted_shape(leaf.rule, shapes)
        if got != expected[len(stack) :]:
            keys = ", ".join(
                f"{k} {s}" for k, s in zip(piece.keys, shapes, strict=True)
            )
            problems.append(
                f"shape: {keys} gives {got}, {path} expects {expected[len(stack) :]}"
            )
    return problems


def _converted_shape(rule: Rule, shapes: Sequence[tuple[int, ...]]):
    """Shape after the transform, found on arrays without memory of their own."""
    one = np.ones((), np.float32)
    try:
        return rule.convert([np.broadcast_to(one, shape) for shape in shapes]).shape
    except ValueError as error:
        return f"an error ({error})"


def make_plan(
    source: Mapping[str, Any],
    like: PyTree,
    rules: Iterable[Rule],
    ignore: Mapping[str, str] | None = None,
) -> Plan:
    """Assign every source key to a leaf, or to the list of what is left out.

    Args:
        source: key -> anything with ``shape`` and ``dtype`` (arrays, lazy readers,
            `jax.ShapeDtypeStruct`).
        like: tree of arrays or `jax.ShapeDtypeStruct` to be filled.
        rules: how keys map onto leaves; every leaf must be given exactly once.
        ignore: pattern of keys left out on purpose -> why.

    Returns:
        Plan of all leaves of ``like``.

    Raises:
        WeightsError: any key missing, unused, doubled or wrongly shaped; they are
            listed, if there are no more than 100 of them.
    """
    leaves: dict[str, Leaf] = {}
    problems: list[str] = []
    ignored = {
        key: why
        for key in source
        for pattern, why in (ignore or {}).items()
        if _compiled(pattern, ()).fullmatch(key)
    }
    open_keys = {key: None for key in source if key not in ignored}
    used: set[str] = set()
    for rule in sorted(rules, key=lambda rule: rule.fallback):
        used |= _add_rule(rule, open_keys, leaves, ignored, problems)
    problems += [f"unused: {key}" for key in open_keys if key not in used]
    ordered: dict[str, Leaf] = {}
    for path, value in jax.tree_util.tree_flatten_with_path(like)[0]:
        name = path_of(path)
        if name not in leaves:
            problems.append(f"missing: nothing gives {name} {tuple(value.shape)}")
            continue
        ordered[name] = leaves.pop(name)
        problems += _check_leaf(name, ordered[name], source, tuple(value.shape))
    problems += [
        f"unused: {leaf.pieces[0].keys[0]} (no parameter {name})"
        for name, leaf in leaves.items()
    ]
    if problems:
        raise WeightsError(_listed(problems))
    return Plan(ordered, ignored)


def _listed(problems: Sequence[str]) -> str:
    """Return problems in one line, sorted; a file can have any number of them."""
    shown = [
        each if len(each) <= 500 else each[:500] + "..."
        for each in sorted(problems)[:_MOST_SHOWN]
    ]
    if len(problems) > _MOST_SHOWN:
        shown.append(f"and {len(problems) - _MOST_SHOWN} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{count} with the weights: {'; '.join(shown)}"


def build_leaf(leaf: Leaf, source: Mapping[str, Any], dtype: Any) -> np.ndarray:
    """Read, convert and stack one leaf, one slice in memory beside the result."""
    stack = leaf.stack
    result = None
    for index, part in leaf.slices(source):
        if not stack:
            return np.asarray(part, dtype, order="C")
        if result is None:
            result = np.empty((*stack, *part.shape), dtype)
        result[index] = part
    if result is None:
        raise ValueError("leaf has no pieces; expected at least one")
    return result


def load(
    source: Mapping[str, Any],
    like: PyTree,
    rules: Iterable[Rule],
    ignore: Mapping[str, str] | None = None,
) -> PyTree:
    """Fill a tree like ``like`` from a state dict; see `make_plan`.

    Returns:
        Tree of numpy arrays with the structure, shapes and dtypes of ``like``.

    Example:
        >>> source = {"fc.weight": np.ones((3, 2)), "fc.bias": np.ones(3)}
        >>> like = {"out": {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}}
        >>> params = load(source, like, linear("fc", "out"))
    """
    plan = make_plan(source, like, rules, ignore)
    flat, structure = jax.tree_util.tree_flatten_with_path(like)
    values = [
        build_leaf(plan.leaves[path_of(path)], source, value.dtype)
        for path, value in flat
    ]
    return jax.tree_util.tree_unflatten(structure, values)


def shapes_of(entries: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """Return a state dict without values, of a manifest's ``key -> [shape, dtype]``."""
    return {
        key: jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype))
        for key, (shape, dtype) in entries.items()
    }
