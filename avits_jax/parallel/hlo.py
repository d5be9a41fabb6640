"""Read a compiled program: which arrays cross devices, how often, how many bytes.

XLA's text of an optimised module is the only place where its collectives show. Bytes
are those of the arrays that a device ends up with; loops with a known number of turns
multiply.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_BITS = {"pred": 8, "token": 0, "bf16": 16, "f8e4m3fn": 8, "f8e5m2": 8}
_KINDS = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
HEAD = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPERATION = re.compile(rf" ({'|'.join(_KINDS)})(-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)="
    r"%?([\w.\-]+)|branch_computations=\{([^}]*)\}"
)
_TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_LIMIT = re.compile(r"^s32\[\]\S* constant\((\d+)\)")
_CHANNEL = re.compile(r"channel_id=(\d+)")
SCOPE = re.compile(r'op_name="([^"]*)"')


Shape = tuple[str, tuple[int, ...]]


class Collective(NamedTuple):
    """One communication among devices.

    Attributes:
        kind: all-reduce, all-gather, all-to-all, ...
        shapes: arrays that a device ends up with, such as ("f32", (8, 3)).
        times: executions in one run; loops of unknown length count as one turn.
        scope: where in the traced program it comes from.
    """

    kind: str
    shapes: tuple[Shape, ...]
    times: int
    scope: str

    @property
    def bytes(self) -> int:
        """Return the bytes of one execution."""
        return sum(array_bytes(dtype, shape) for dtype, shape in self.shapes)

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all executions."""
        return self.bytes * self.times


def array_bytes(dtype: str, shape: Iterable[int]) -> int:
    """Return the bytes of an array, its dtype as HLO spells it ("f32", "pred")."""
    bits = _BITS.get(dtype)
    if bits is None:
        bits = int(re.sub(r"\D", "", dtype))
    for size in shape:
        bits *= size
    return -(-bits // 8)


def collectives(text: str) -> list[Collective]:
    """Return every collective of a compiled program, in the order of its text.

    Args:
        text: ``jax.jit(f).lower(...).compile().as_text()``.
    """
    blocks = computations(text)
    times = executions(blocks)
    found: dict[object, Collective] = {}
    for name, lines in blocks.items():
        numbers: Counter[object] = Counter()
        for line in lines.values():
            if match := _OPERATION.search(line):
                each = _collective(line, match, times[name])
                channel = _CHANNEL.search(line)
                # TPUs work on a collective while others compute: its start, its end and
                # every part between, inside loops even, bear the same number. It is
                # executed as often as the rarest of them. On CPUs the collectives of
                # `shard_map` all bear the same, several in one computation.
                number = (channel[1], each.shapes) if channel else len(found)
                numbers[number] += 1
                identity = number, numbers[number]
                before = found.get(identity, each)
                found[identity] = min(before, each, key=lambda c: c.times)
    return list(found.values())


def _collective(line: str, match: re.Match[str], times: int) -> Collective:
    scope = SCOPE.search(line)
    kind, started = match[1], bool(match[2])
    results = _results(kind, line[: match.start()], started)
    return Collective(kind, results, times, scope[1] if scope else "")


# Instructions of each computation, by their names.
Computations = dict[str, dict[str, str]]


def computations(text: str) -> Computations:
    """Return the instructions of each computation, what is right of "=" by name."""
    blocks: Computations = {}
    lines: dict[str, str] = {}
    for line in text.splitlines():
        head = HEAD.match(line)
        if head:
            lines = blocks.setdefault(head[1], {})
        elif instruction := _INSTRUCTION.match(line):
            lines[instruction[1]] = instruction[2]
    return blocks


def executions(blocks: Computations) -> dict[str, int]:
    """Return how often each computation runs in one run of the program."""
    callers: dict[str, list[tuple[str, int]]] = {name: [] for name in blocks}
    for name, lines in blocks.items():
        for line in lines.values():
            turns = _turns(line, blocks)
            for called in called_by(line):
                if called in callers:
                    callers[called].append((name, turns))
    times: dict[str, int] = {}

    def count(name: str) -> int:
        if name not in times:
            calls = callers[name]
            times[name] = sum(count(c) * n for c, n in calls) if calls else 1
        return times[name]

    return {name: count(name) for name in blocks}


def called_by(line: str) -> Iterator[str]:
    """Yield the names of the computations that an instruction runs."""
    for single, several in _CALLED.findall(line):
        yield from (single, *several.replace("%", "").split(", "))


def _turns(line: str, blocks: Computations) -> int:
    """Return the turns of a loop: as XLA states them, or the bound of a scan."""
    if known := _TURNS.search(line):
        return int(known[1])
    condition = _CONDITION.search(line)
    if not condition:
        return 1
    test = list(blocks.get(condition[1], {}).values())
    limits = [int(found[1]) for each in test if (found := _LIMIT.match(each))]
    counts_up = any("direction=LT" in each for each in test)
    return limits[0] if counts_up and len(limits) == 1 else 1


def _results(kind: str, results: str, started: bool) -> tuple[Shape, ...]:
    """Return the arrays of an instruction's type that a device ends up with."""
    arrays = tuple(
        (dtype, tuple(int(n) for n in sizes.split(",") if n))
        for dtype, sizes in _ARRAY.findall(results)
    )
    if started and kind in ("all-gather", "collective-permute"):
        # What ends apart carries its operands, and handles, beside its results.
        arrays = tuple(array for array in arrays if array != ("u32", ()))
        arrays = arrays[len(arrays) // 2 :]
    return arrays
