"""Read the pickles of torch.save files with an interpreter that calls nothing.

Python's unpickler calls what a pickle names, changes objects that were checked before,
and takes gigabytes for a memo of a few bytes. This interpreter knows the operations of
torch.load(weights_only=True) and refuses all others; what it builds is plain values and
`View`, which nothing can change. Its memory is bounded by the length of the pickle.

Upstream: pytorch 2.13, torch/_weights_only_unpickler.py and torch/_utils.py
(_rebuild_tensor_v2, _rebuild_parameter).
"""

import math
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from avits_jax.weights.file_tensors import BFLOAT16, MOST_AXES, element_span
from avits_jax.weights.name_map import WeightsError

_STORAGES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
# Numbers that a tensor may show of a storage that has fewer of them.
_MOST_REPEATED = 2**24
_KEYS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class _Kind:
    """What stands for a storage class of torch; it cannot be called."""

    dtype: np.dtype


@dataclass(frozen=True)
class Storage:
    """A run of numbers beside the pickle.

    Attributes:
        key: its name in the file.
        dtype: of the numbers.
        size: how many they are.
    """

    key: str
    dtype: np.dtype
    size: int

    @property
    def nbytes(self) -> int:
        """Return its size in bytes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class View:
    """A tensor as its pickle describes it.

    Attributes:
        storage: that holds its numbers.
        offset: of its first element in the storage.
        shape: of the tensor.
        strides: in elements.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(
    stream: BytesIO,
    storages: dict[str, Storage] | None = None,
    *,
    with_views: bool = False,
) -> Any:
    """Read one pickle, up to its end and no further.

    Args:
        stream: at the first byte of the pickle.
        storages: where the storages are noted that the pickle refers to, by key. None:
            it may refer to none.
        with_views: references have a sixth part, as in files from before torch 1.6.

    Returns:
        Dicts, lists, tuples, numbers, text, None and `View`.

    Raises:
        WeightsError: it is damaged, or holds anything else.
    """
    machine = _Machine(storages, with_views)
    try:
        for code, argument, _ in pickletools.genops(stream):
            if code.name == "STOP":
                return machine.stack.pop()
            machine.step(code.name, argument)
    except WeightsError:
        raise
    except (ValueError, TypeError, LookupError) as error:
        raise WeightsError(f"its pickle is damaged ({error})") from None
    raise WeightsError("its pickle has no end")


class _Machine:
    """Stack, marks and memo of a pickle that is being read."""

    def __init__(self, storages: dict[str, Storage] | None, with_views: bool) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages = storages
        self.with_views = with_views

    def step(self, name: str, argument: Any) -> None:
        """Run one operation."""
        if name == "SHORT_BINSTRING" and not argument.isascii():
            raise WeightsError("its pickle has text of an unknown encoding")
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _MADE:
            self.stack.append(_MADE[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.stack.append(_named(argument))
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name != "PROTO":
            raise WeightsError(f"its pickle asks for {name}, which no tensor needs")

    def mark(self) -> None:
        """Begin a run of values."""
        self.marked.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """Take the values since the last mark."""
        values, self.stack = self.stack, self.marked.pop()
        return values

    def take(self, count: int) -> list[Any]:
        """Take the last values."""
        if len(self.stack) < count:
            raise WeightsError("its pickle is damaged (a value is missing)")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def put_tuple(self, values: list[Any]) -> None:
        """Append values as one tuple."""
        self.stack.append(tuple(values))

    def extend(self, values: list[Any]) -> None:
        """Append to the list below."""
        if type(self.stack[-1]) is not list:
            raise WeightsError("its pickle appends to what is no list")
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Set keys of the dict below."""
        if type(self.stack[-1]) not in (dict, OrderedDict):
            raise WeightsError("its pickle sets keys of what is no dict")
        pairs = zip(values[::2], values[1::2], strict=True)
        self.stack[-1].update((_key(key), value) for key, value in pairs)

    def reduce(self) -> None:
        """Make a tensor, or another of the few known things."""
        function, arguments = self.take(2)
        if not callable(function) or type(arguments) is not tuple:
            raise WeightsError("its pickle calls what is no function")
        self.stack.append(function(*arguments))

    def build(self) -> None:
        """Pass over the attributes of a dict, which torch puts there (_metadata)."""
        target, state = self.take(2)
        if type(target) is not OrderedDict or type(state) is not dict:
            raise WeightsError("its pickle changes an object after it is made")
        self.stack.append(target)

    def refer(self) -> None:
        """Replace the description of a storage by the storage."""
        described = self.stack.pop()
        if self.storages is None or type(described) is not tuple:
            raise WeightsError("its pickle refers to something that is no storage")
        tag, kind, key, location, size, *view = described
        texts = all(type(text) is str for text in (tag, key, location))
        if not texts or tag != "storage" or type(kind) is not _Kind:
            raise WeightsError("its pickle refers to something that is no storage")
        if view != [None] * self.with_views:
            raise WeightsError("views of storages are not supported")
        storage = Storage(key, kind.dtype, _count(size))
        if self.storages.setdefault(key, storage) != storage:
            raise WeightsError(f"it describes storage {key!r} in two ways")
        self.stack.append(storage)


# What an operation pushes: what stands beside it, or something made anew.
_LITERALS = (
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINSTRING",
)
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": lambda machine: machine.put_tuple(machine.since_mark()),
    "TUPLE1": lambda machine: machine.put_tuple(machine.take(1)),
    "TUPLE2": lambda machine: machine.put_tuple(machine.take(2)),
    "TUPLE3": lambda machine: machine.put_tuple(machine.take(3)),
    "APPEND": lambda machine: machine.extend(machine.take(1)),
    "APPENDS": lambda machine: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine: machine.set_items(machine.take(2)),
    "SETITEMS": lambda machine: machine.set_items(machine.since_mark()),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
}


def _named(name: str) -> Any:
    """Return what stands for a function or class of torch, by "module name"."""
    if name not in _KNOWN:
        raise WeightsError(f"it names {'.'.join(name.split())!r}, no tensor")
    return _KNOWN[name]


def _key(key: Any) -> Any:
    """Return a dict's key; others than these could take long to hash."""
    if type(key) not in _KEYS:
        raise WeightsError("its pickle has a key that is neither text nor number")
    return key


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise WeightsError("a size or offset is no number, or negative, or too large")
    return value


def _counts(values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list):
        raise WeightsError("a shape is no list of sizes")
    return tuple(_count(value) for value in values)


def _rebuild_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> View:
    if type(storage) is not Storage:
        raise WeightsError("a tensor without a storage")
    if metadata:
        raise WeightsError("a tensor whose numbers are negated or conjugated")
    view = View(storage, _count(offset), _counts(shape), _counts(strides))
    axes, sizes = len(view.shape), math.prod(max(size, 1) for size in view.shape)
    if axes > MOST_AXES or axes != len(view.strides):
        raise WeightsError(f"a tensor of {axes} axes and {len(view.strides)} strides")
    if sizes > max(storage.size, _MOST_REPEATED):
        raise WeightsError("a tensor that repeats its numbers too often")
    if view.offset + element_span(view.shape, view.strides) > storage.size:
        raise WeightsError("a tensor that reaches beyond its storage")
    _check_training(storage.dtype, requires_grad, hooks)
    return view


def _rebuild_parameter(value: Any, requires_grad: Any, hooks: Any) -> View:
    if type(value) is not View:
        raise WeightsError("a parameter that is no tensor")
    _check_training(value.storage.dtype, requires_grad, hooks)
    return value


def _check_training(dtype: np.dtype, requires_grad: Any, hooks: Any) -> None:
    """Refuse what torch refuses of a tensor's place in training."""
    whole = dtype.kind in "iub"
    if type(requires_grad) is not bool or (requires_grad and whole):
        raise WeightsError("a tensor that says wrongly whether it is trained")
    if hooks is not None and (type(hooks) not in (dict, OrderedDict) or hooks):
        raise WeightsError("a tensor with functions attached")


def _ordered_dict(pairs: Any = ()) -> OrderedDict:
    if type(pairs) not in (tuple, list):
        raise WeightsError("a dict of what are no pairs")
    return OrderedDict((_key(key), value) for key, value in pairs)


_KNOWN: dict[str, Any] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    "torch Size": _counts,
    **{f"torch {name}": _Kind(dtype) for name, dtype in _STORAGES.items()},
}
