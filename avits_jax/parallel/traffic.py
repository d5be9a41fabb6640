"""Count the bytes that a compiled program moves through its device's memory.

XLA runs an optimised program as a row of kernels: fusions, library calls, copies. Each
reads its operands from memory and writes its results there, whatever happens inside;
of an operand that is only sliced it reads the slice, and an array that is updated in
place is written where the update lies. Caches are left out: small arrays that stay in
one are counted as if they did not. Loops with a known number of turns multiply.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from avits_jax.parallel import hlo
from avits_jax.parallel.hlo import Shape, array_bytes

_HEAD = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(
    r"^\s+(ROOT )?%?([\w.\-]+) = (\([^=]*?\)|\S+) ([\w\-]+)\((.*)$"
)
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_COMMENT = re.compile(r"/\*.*?\*/")
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_SCOPE = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)="
    r"%?([\w.\-]+)|branch_computations=\{([^}]*)\}"
)
# Instructions that are no kernels: they name arrays, or run other computations.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
    "while", "conditional", "call", "opt-barrier", "partition-id", "replica-id",
    "async-done", "async-update", "copy-done", "domain",
}  # fmt: skip
_RUNS = {"while", "conditional", "call", "async-start"}
_SLICES = {"slice", "dynamic-slice", "gather"}
_SCRATCH = ("s8", "u8")  # of a library call: its workspace


class Instruction(NamedTuple):
    """One line of a compiled program.

    Attributes:
        name: unique in its program.
        shapes: arrays of its result.
        opcode: "fusion", "custom-call", "copy", ...
        operands: names of what it reads.
        root: is the result of its computation.
        rest: the line after the opcode.
    """

    name: str
    shapes: tuple[Shape, ...]
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
        found = _SCOPE.search(self.rest)
        return found[1] if found else ""

    @property
    def bytes(self) -> int:
        """Return the bytes of its results; a library call's workspace is left out."""
        shapes = self.shapes
        if self.opcode == "custom-call" and len(shapes) > 1:
            shapes = tuple(shape for shape in shapes if shape[0] not in _SCRATCH)
        return sum(array_bytes(*shape) for shape in shapes)


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


def computations(text: str) -> dict[str, list[Instruction]]:
    """Return the instructions of each computation, that of the entry last.

    Args:
        text: ``jax.jit(f).lower(...).compile().as_text()``.
    """
    blocks: dict[str, list[Instruction]] = {}
    lines: list[Instruction] = []
    entry = ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
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
            if each.opcode not in _FREE:
                operands = [sizes[o].bytes for o in each.operands if o in sizes]
                moved = _moved(each, operands, blocks)
                found.append(Kernel(each, *moved, times[name]))
    return found


def _instruction(found: re.Match[str]) -> Instruction:
    root, name, result, opcode, rest = found.groups()
    shapes = tuple(
        (dtype, tuple(int(n) for n in sizes.split(",") if n))
        for dtype, sizes in _ARRAY.findall(result)
    )
    inside = rest[: _closing(rest)]
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    return Instruction(name, shapes, opcode, operands, bool(root), rest)


def _closing(rest: str) -> int:
    """Return where the bracket that is open at the start is closed."""
    depth = 1
    for place, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return len(rest)


def _called(each: Instruction) -> Iterator[str]:
    for single, several in _CALLED.findall(each.rest):
        yield from (single, *several.replace("%", "").split(", "))


def _kernel_blocks(blocks: dict[str, list[Instruction]]) -> list[str]:
    """Return the computations that run as rows of kernels, the entry first."""
    waiting, found = list(blocks)[-1:], []
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.append(name)
        for each in blocks[name]:
            if each.opcode in _RUNS:
                waiting += [called for called in _called(each) if called in blocks]
    return found


def _moved(
    each: Instruction,
    operands: list[int],
    blocks: dict[str, list[Instruction]],
) -> tuple[int, int]:
    """Return bytes that one execution reads and writes."""
    if each.opcode == "fusion":
        inside = blocks[next(name for name in _called(each) if name in blocks)]
        return _fusion_reads(inside), _fusion_writes(inside)
    if each.opcode in _SLICES:
        return each.bytes, each.bytes
    if each.opcode == "dynamic-update-slice":
        return operands[1], operands[1]
    return sum(operands), each.bytes


def _fusion_reads(inside: list[Instruction]) -> int:
    users: dict[str, list[Instruction]] = {}
    for each in inside:
        for operand in each.operands:
            users.setdefault(operand, []).append(each)
    parameters = (each for each in inside if each.opcode == "parameter")
    return sum(_read_of(each, users.get) for each in parameters)


def _read_of(array: Instruction, users: Callable[..., list[Instruction] | None]) -> int:
    """Return how much of an array a fusion reads: less than all if it slices it."""
    total = 0
    for user in users(array.name) or ():
        if user.opcode == "bitcast":
            total += _read_of(user, users)
        elif user.opcode in _SLICES and user.operands[0] == array.name:
            total += user.bytes
        elif not _updates(user, array.name):
            return array.bytes
    return min(total, array.bytes)


def _updates(user: Instruction, name: str) -> bool:
    return user.opcode == "dynamic-update-slice" and user.operands[0] == name


def _fusion_writes(inside: list[Instruction]) -> int:
    known = {each.name: each for each in inside}

    def written(each: Instruction) -> int:
        if each.opcode == "tuple":
            return sum(written(known[name]) for name in each.operands)
        if each.opcode == "bitcast":
            return written(known[each.operands[0]])
        if each.opcode == "dynamic-update-slice":
            return known[each.operands[1]].bytes
        return each.bytes

    return sum(written(each) for each in inside if each.root)
