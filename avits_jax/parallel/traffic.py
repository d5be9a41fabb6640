"""Count the bytes that a compiled program moves through its device's memory.

XLA runs an optimised program as a row of kernels: fusions, library calls, copies. Each
reads its operands from memory and writes its results there, whatever happens inside;
of an operand that is only sliced it reads the slice, and an array that is updated in
place is written where the update lies. Caches are left out: small arrays that stay in
one are counted as if they did not. What a TPU keeps on the chip (memory space 1 and up)
moves nothing, and its arrays count in the tiles that they lie in. Loops with a known
number of turns multiply.
"""

import math
import re
from typing import NamedTuple

from avits_jax.parallel import hlo
from avits_jax.parallel.hlo import HEAD, SCOPE, Shape, array_bytes, called_by

_INSTRUCTION = re.compile(
    r"^\s+(ROOT )?%?([\w.\-]+) = (\([^=]*?\)|\S+) ([\w\-]+)\((.*)$"
)
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_TILE = re.compile(r"T\(([\d,]+)\)")
_ON_CHIP = re.compile(r"S\([1-9]\d*\)")
_NUMBER = re.compile(r"(\d+)\)")
_COMMENT = re.compile(r"/\*.*?\*/")
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
# Instructions that are no kernels: they name arrays, or run other computations.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
    "while", "conditional", "call", "opt-barrier", "partition-id", "replica-id",
    "async-start", "domain",
}  # fmt: skip
_RUNS = {"while", "conditional", "call", "async-start"}
_ENDS = ("-done", "-update")  # of what a start has counted
_SLICES = {"slice", "dynamic-slice", "gather"}
_SCRATCH = ("s8", "u8")  # of a library call: its workspace


class Instruction(NamedTuple):
    """One line of a compiled program.

    Attributes:
        name: unique in its program.
        shapes: arrays of its result.
        layouts: how each of them lies in memory, as HLO spells it.
        opcode: "fusion", "custom-call", "copy", ...
        operands: names of what it reads.
        root: is the result of its computation.
        rest: the line after the opcode.
    """

    name: str
    shapes: tuple[Shape, ...]
    layouts: tuple[str, ...]
    opcode: str
    operands: tuple[str, ...]
    root: bool
    rest: str

    @property
    def target(self) -> str:
        """Return what a library call calls; "" for other instructions."""
        found = _TARGET.search(self.rest)
        return found[1] if found else ""

    @property
    def scope(self) -> str:
        """Return where in the traced program it comes from."""
        found = SCOPE.search(self.rest)
        return found[1] if found else ""

    @property
    def bytes(self) -> int:
        """Return the bytes of its results in main memory.

        A library call's workspace is left out.
        """
        return self._bytes(everywhere=False)

    @property
    def bytes_anywhere(self) -> int:
        """Return the same wherever they lie: inside a fusion no layout tells."""
        return self._bytes(everywhere=True)

    def _bytes(self, everywhere: bool) -> int:
        call = self.opcode == "custom-call" and len(self.shapes) > 1
        return sum(
            _stored(shape, layout)
            for shape, layout in zip(self.shapes, self.layouts, strict=True)
            if not (call and shape[0] in _SCRATCH)
            and (everywhere or not _ON_CHIP.search(layout))
        )

    @property
    def moves(self) -> bool:
        """Tell whether it is a kernel, or the start of one."""
        return self.opcode not in _FREE and not self.opcode.endswith(_ENDS)


def _stored(shape: Shape, layout: str) -> int:
    """Return the bytes of an array in whole tiles."""
    dtype, sizes = shape[0], list(shape[1])
    order, _, rest = layout.partition(":")
    tile = _TILE.search(rest)
    if tile and sizes:
        minor = [int(axis) for axis in order.split(",") if axis]
        edges = [int(edge) for edge in tile[1].split(",")]
        for axis, edge in zip(minor, reversed(edges), strict=False):
            sizes[axis] = -(-sizes[axis] // edge) * edge
    return array_bytes(dtype, (math.prod(sizes),))


Blocks = dict[str, list[Instruction]]


class Kernel(NamedTuple):
    """One kernel of a compiled program.

    Attributes:
        instruction: what it is.
        read: bytes read in one execution.
        written: bytes written in one execution.
        times: executions in one run; loops of unknown length count as one turn.
    """

    instruction: Instruction
    read: int
    written: int
    times: int

    @property
    def total_bytes(self) -> int:
        """Return the bytes read and written by all executions."""
        return (self.read + self.written) * self.times


def computations(text: str) -> Blocks:
    """Return the instructions of each computation, that of the entry last.

    Args:
        text: ``jax.jit(f).lower(...).compile().as_text()``.
    """
    blocks: Blocks = {}
    lines: list[Instruction] = []
    entry = ""
    for line in text.splitlines():
        if head := HEAD.match(line):
            lines = blocks.setdefault(head[1], [])
            entry = head[1] if line.startswith("ENTRY") else entry
        elif found := _INSTRUCTION.match(_COMMENT.sub("", line)):
            lines.append(_instruction(found))
    if entry:
        blocks[entry] = blocks.pop(entry)
    return blocks


def kernels(text: str) -> list[Kernel]:
    """Return every kernel of a compiled program and the bytes that it moves.

    Args:
        text: ``jax.jit(f).lower(...).compile().as_text()``.
    """
    blocks = computations(text)
    times = hlo.executions(hlo.computations(text))
    found = []
    for name in _kernel_blocks(blocks):
        sizes = {each.name: each for each in blocks[name]}
        for each in blocks[name]:
            if each.moves:
                operands = [sizes[o].bytes for o in each.operands if o in sizes]
                moved = _moved(each, operands, blocks)
                found.append(Kernel(each, *moved, times[name]))
    return found


def moved_bytes(text: str) -> int:
    """Return the bytes that one run moves, on one device.

    Args:
        text: ``jax.jit(f).lower(...).compile().as_text()``.
    """
    return sum(kernel.total_bytes for kernel in kernels(text))


def _instruction(found: re.Match[str]) -> Instruction:
    root, name, result, opcode, rest = found.groups()
    arrays = _ARRAY.findall(result)
    shapes = tuple(
        (dtype, tuple(int(n) for n in sizes.split(",") if n))
        for dtype, sizes, _ in arrays
    )
    layouts = tuple(layout for *_, layout in arrays)
    inside = rest[: _closing(rest)]
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    return Instruction(name, shapes, layouts, opcode, operands, bool(root), rest)


def _closing(rest: str) -> int:
    """Return where the bracket that is open at the start is closed."""
    depth = 1
    for place, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return len(rest)


def _kernel_blocks(blocks: Blocks) -> list[str]:
    """Return the computations that run as rows of kernels, the entry first."""
    waiting, found = list(blocks)[-1:], []
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.append(name)
        for each in blocks[name]:
            if each.opcode in _RUNS:
                waiting += [
                    called for called in called_by(each.rest) if called in blocks
                ]
    return found


def _moved(each: Instruction, operands: list[int], blocks: Blocks) -> tuple[int, int]:
    """Return bytes that one execution reads and writes."""
    if each.opcode == "fusion":
        inside = _inside(each, blocks)
        reads = _fusion_reads(inside, operands, blocks)
        return reads, min(_fusion_writes(inside), each.bytes)
    if each.opcode == "slice-start":  # (whole array, slice, ...)
        slices = each._replace(shapes=each.shapes[1:2], layouts=each.layouts[1:2])
        return slices.bytes_anywhere, slices.bytes
    if each.opcode.endswith("-start"):  # its results carry its operands along
        return 0, each.bytes
    if each.opcode in _SLICES:
        return each.bytes, each.bytes
    if each.opcode == "dynamic-update-slice":
        return operands[1], operands[1]
    return sum(operands), each.bytes


def _inside(each: Instruction, blocks: Blocks) -> list[Instruction]:
    return blocks[next(name for name in called_by(each.rest) if name in blocks)]


def _fusion_reads(inside: list[Instruction], sizes: list[int], blocks: Blocks) -> int:
    """Return the bytes that a fusion reads of operands of so many bytes."""
    return sum(
        min(size, _read_of(number, inside, blocks)) for number, size in enumerate(sizes)
    )


def _read_of(number: int, inside: list[Instruction], blocks: Blocks) -> int:
    """Return the most that a fusion reads of one operand: less than all if sliced."""
    waiting = [each for each in inside if _parameter_number(each) == number]
    total = 0
    while waiting:
        array = waiting.pop()
        if array.root:  # renamed, for the fusion around, which reads all of it
            return array.bytes_anywhere
        for user in inside:
            if array.name not in user.operands:
                continue
            first = user.operands[0] == array.name
            if user.opcode == "bitcast":
                waiting.append(user)
            elif user.opcode in _SLICES and first:
                total += user.bytes_anywhere
            elif user.opcode == "dynamic-update-slice" and first:
                continue
            elif user.opcode == "fusion":
                place = user.operands.index(array.name)
                total += _read_of(place, _inside(user, blocks), blocks)
            else:
                return array.bytes_anywhere
    return total


def _parameter_number(each: Instruction) -> int | None:
    found = _NUMBER.match(each.rest) if each.opcode == "parameter" else None
    return int(found[1]) if found else None


def _fusion_writes(inside: list[Instruction]) -> int:
    """Return the most bytes that a fusion writes: of updates in place, the slices."""
    known = {each.name: each for each in inside}

    def written(each: Instruction) -> int:
        if each.opcode == "tuple":
            return sum(written(known[name]) for name in each.operands)
        if each.opcode == "bitcast":
            return written(known[each.operands[0]])
        if each.opcode == "dynamic-update-slice":
            return known[each.operands[1]].bytes_anywhere
        return each.bytes_anywhere

    return sum(written(each) for each in inside if each.root)
