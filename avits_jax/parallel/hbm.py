"""Count what a compiled program moves to and from a chip's main memory.

XLA's own count takes the body of a loop once; here its turns count. An instruction
reads its operands and writes its results once, in the tiles that they lie in; what is
kept on the chip (memory space 1 and up) moves nothing, and of an array that is only
sliced, or updated in place, the slice counts.
"""

import math
import re

from avits_jax.parallel.hlo import Computations, array_bytes, computations, executions

_OPCODE = re.compile(r"(?:^|\s)([a-z][a-z0-9\-]*)\(")
_NAME = re.compile(r"%([\w.\-]+)")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_TILE = re.compile(r"T\(([\d,]+)\)")
_ON_CHIP = re.compile(r"S\([1-9]\d*\)")
_CALLS = re.compile(r"calls=%?([\w.\-]+)")
_PARAMETER = re.compile(r"parameter\((\d+)\)")
_INSIDE = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")
_FREE = frozenset(
    "parameter constant tuple get-tuple-element bitcast while conditional call "
    "after-all partition-id replica-id opt-barrier iota".split()
)
_SLICES = ("dynamic-slice", "slice", "gather")


def hbm_bytes(text: str) -> int:
    """Return the bytes to and from main memory of one run, on one chip.

    Args:
        text: ``jax.jit(f).lower(...).compile().as_text()``.
    """
    return sum(moved_by(text).values())


def moved_by(text: str) -> dict[str, int]:
    """Return the same, by the instructions' names in all computations."""
    blocks = computations(text)
    times = executions(blocks)
    called = {
        name
        for lines in blocks.values()
        for line in lines.values()
        for name in _INSIDE.findall(line)
        if _opcode(line) != "call"
    }
    return {
        f"{block}/{name}": times[block] * _moved(line, lines, blocks)
        for block, lines in blocks.items()
        if block not in called
        for name, line in lines.items()
    }


def _opcode(line: str) -> str:
    found = _OPCODE.search(line)
    return found[1] if found else ""


def _size(line: str, everywhere: bool = False) -> int:
    """Return the bytes of an instruction's results in main memory, or everywhere."""
    found = _OPCODE.search(line)
    arrays = _ARRAY.findall(line[: found.start() + 1] if found else line)
    return sum(
        _tiled(dtype, shape, layout)
        for dtype, shape, layout in arrays
        if everywhere or not _ON_CHIP.search(layout)
    )


def _tiled(dtype: str, shape: str, layout: str) -> int:
    sizes = [int(size) for size in shape.split(",") if size]
    order, _, rest = layout.partition(":")
    tile = _TILE.search(rest)
    if tile and sizes:
        minor = [int(axis) for axis in order.split(",") if axis]
        edges = [int(edge) for edge in tile[1].split(",")]
        for axis, edge in zip(minor, reversed(edges), strict=False):
            sizes[axis] = -(-sizes[axis] // edge) * edge
    return array_bytes(dtype, (math.prod(sizes),))


def _operands(line: str) -> list[str]:
    found = _OPCODE.search(line)
    if found is None:
        return []
    depth, end = 1, found.end()
    while depth and end < len(line):
        depth += {"(": 1, ")": -1}.get(line[end], 0)
        end += 1
    return _NAME.findall(line[found.end() : end])


def _moved(line: str, lines: dict[str, str], blocks: Computations) -> int:
    opcode = _opcode(line)
    if opcode in _FREE or opcode.endswith(("-done", "-update")):
        return 0
    operands = [name for name in _operands(line) if name in lines]
    sizes = [_size(lines[name]) for name in operands]
    if opcode == "slice-start":  # its results are ((whole array), slice, handle)
        part = line.partition("), ")[2].partition("}, ")[0] + "}"
        return _size(part, everywhere=True) + _size(part)
    if opcode.endswith("-start"):  # its results carry its operands along
        return _size(line)
    if opcode in _SLICES:
        return 2 * _size(line)
    if opcode == "dynamic-update-slice":
        return 2 * sizes[1]
    called = _CALLS.search(line)
    if opcode != "fusion" or not called:
        return _size(line) + sum(sizes)
    inside = blocks[called[1]]
    read = sum(
        min(size, _read(number, inside, blocks)) for number, size in enumerate(sizes)
    )
    return read + min(_size(line), _written(inside))


def _read(number: int, inside: dict[str, str], blocks: Computations) -> int:
    """Return the most bytes that a fusion reads of one of its operands."""
    names = [
        name
        for name, line in inside.items()
        if (found := _PARAMETER.search(line)) and int(found[1]) == number
    ]
    total = 0
    while names:
        name = names.pop()
        for user, line in inside.items():
            operands = _operands(line)
            if name not in operands:
                continue
            opcode, called = _opcode(line), _CALLS.search(line)
            if opcode == "bitcast":
                names.append(user)
            elif opcode in _SLICES and operands[0] == name:
                # In a fusion a slice may lie anywhere.
                total += _size(line, everywhere=True)
            elif opcode == "dynamic-update-slice" and operands[0] == name:
                continue
            elif opcode == "fusion" and called:
                total += _read(operands.index(name), blocks[called[1]], blocks)
            else:
                return 1 << 62
    return total


def _written(inside: dict[str, str]) -> int:
    """Return the most bytes that a fusion writes: of updates in place, the slices."""
    *_, root = inside.values()
    roots = [inside[n] for n in _operands(root)] if _opcode(root) == "tuple" else [root]
    total = 0
    for line in roots:
        while _opcode(line) == "bitcast" and _operands(line)[0] in inside:
            line = inside[_operands(line)[0]]
        if _opcode(line) == "dynamic-update-slice":
            line = inside[_operands(line)[1]]
        total += _size(line, everywhere=True)
    return total
