"""What a program for an NVIDIA card holds: calls, bytes, logits, and its time."""

from collections import Counter
from typing import NamedTuple

from avits_jax.parallel.hlo import Shape, array_bytes
from avits_jax.parallel.traffic import Kernel, computations

# What calls of libraries begin with, and what they are.
_LIBRARIES = {
    "__cudnn$fmha": "cuDNN flash attention",
    "__cudnn$conv": "cuDNN convolution",
    "__cublas": "cuBLAS product",
}
_PADS = "padding"
_LOGITS = "BTNH,BSNH->BNTS)/dot_general"  # how jax.nn names them


class Card(NamedTuple):
    """What NVIDIA states of a card.

    Attributes:
        flops: dense bfloat16 operations a second.
        bandwidth: bytes of memory a second.
        memory: bytes.
    """

    flops: float
    bandwidth: float
    memory: float


CARDS = {"h100": Card(989e12, 3.35e12, 80e9), "h200": Card(989e12, 4.8e12, 141e9)}


class Compiled(NamedTuple):
    """What the compiler said of one program.

    Attributes:
        card: name of the card.
        num_candidates: of the search.
        memory: bytes of arguments, results and temporaries, by kind.
        flops: matrix operations of one run.
        kernels: what runs.
        plain: results of convolutions that no library does.
        logits: of attention that writes them to memory.
        seconds: that tracing and compiling took.
    """

    card: str
    num_candidates: int
    memory: dict[str, int]
    flops: float
    kernels: list[Kernel]
    plain: list[Shape]
    logits: list[Shape]
    seconds: float

    @property
    def moved(self) -> int:
        """Return the bytes that all kernels read and write."""
        return sum(each.total_bytes for each in self.kernels)

    @property
    def predicted(self) -> tuple[float, float]:
        """Return seconds of the matrix units and of the memory, each at its peak."""
        card = CARDS[self.card]
        return self.flops / card.flops, self.moved / card.bandwidth


def kind(each: Kernel) -> str:
    """Say what a kernel is: a library's, a Fourier transform, padding, or another."""
    for start, name in _LIBRARIES.items():
        if each.instruction.target.startswith(start):
            return name
    if each.instruction.opcode == "custom-call":
        return each.instruction.target
    if each.instruction.opcode == "fft":
        return "Fourier transform"
    return _PADS if "pad" in each.instruction.name else "element-wise, copies"


def left_plain(text: str) -> list[Shape]:
    """Return the results of convolutions that XLA does itself."""
    return [
        each.shapes[0]
        for block in computations(text).values()
        for each in block
        if each.opcode == "convolution"
    ]


def written_logits(text: str) -> list[Shape]:
    """Return the logits that attention writes to memory, each shape once."""
    found = {
        each.shapes[0]: None
        for block in computations(text).values()
        for each in block
        # Padded products are sliced; the slice then bears the name.
        if each.opcode in ("custom-call", "dot", "slice") and _LOGITS in each.scope
    }
    return [shape for shape in found if shape[0] == "f32"]


def describe(result: Compiled, most_kernels: int = 0) -> str:
    """Return a paragraph about one program."""
    memory = ", ".join(f"{k} {v / 1e9:.3f}" for k, v in result.memory.items())
    matrix, moving = result.predicted
    lines = [
        f"{result.card}: N = {result.num_candidates}, compiled in "
        f"{result.seconds:.0f} s",
        f"  memory, GB: {memory}; the card has {CARDS[result.card].memory / 1e9:.0f}",
        f"  at stated peaks: matrix units {matrix:.3f} s ({result.flops:.3e} "
        f"operations), memory {moving:.3f} s ({result.moved / 1e9:,.1f} GB)",
        "  kinds of kernels (in the program, executions, GB moved):",
    ]
    there, runs, moved = Counter[str](), Counter[str](), Counter[str]()
    for each in result.kernels:
        name = kind(each)
        there[name] += 1
        runs[name] += each.times
        moved[name] += each.total_bytes
    lines += [
        f"    {name}: {there[name]:,}, {runs[name]:,}, {size / 1e9:,.1f}"
        for name, size in moved.most_common()
    ]
    largest = [f"{_shown(s)} {_size(s) / 1e6:.1f} MB" for s in result.logits]
    lines.append(f"  logits written to memory: {', '.join(largest) or 'none'}")
    ranked = sorted(result.kernels, key=lambda each: -each.total_bytes)
    for each in ranked[:most_kernels]:
        one = each.instruction
        lines.append(
            f"  {each.total_bytes / 1e9:.1f} GB in {each.times}: {one.name} "
            f"{', '.join(map(_shown, one.shapes))} {one.scope}"
        )
    return "\n".join(lines)


def _shown(shape: Shape) -> str:
    return f"{shape[0]}{list(shape[1])}"


def _size(shape: Shape) -> int:
    return array_bytes(*shape)


def faults(result: Compiled, most_logits: float) -> list[str]:
    """Return a line for everything that must not be.

    Args:
        result: of the compiler.
        most_logits: bytes that the logits of one attention may take in memory.
    """
    lines = []
    memory, room = sum(result.memory.values()), CARDS[result.card].memory
    if memory > room:
        lines.append(
            f"needs {memory / 1e9:.1f} GB of memory; the card has {room / 1e9:.0f}"
        )
    if result.plain:
        lines.append(
            f"{len(result.plain)} convolutions are not cuDNN's, such as that to "
            f"{_shown(result.plain[0])}"
        )
    large = [shape for shape in result.logits if _size(shape) > most_logits]
    if large:
        worst = max(large, key=_size)
        lines.append(
            f"attention writes logits {_shown(worst)} of {_size(worst) / 1e6:.0f} MB; "
            f"at most {most_logits / 1e6:.0f} MB are accepted"
        )
    return lines


def table(results: list[Compiled]) -> str:
    """Return a Markdown table; bytes moved, work and time are a candidate's."""
    lines = [
        "| card | N | arguments (GB) | temporaries (GB) | flash, convolution, product "
        "calls | GB moved | of it padding | TFLOP | matrix units (ms) | memory (ms) "
        "| compiled in (s) |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for each in results:
        count = each.num_candidates
        kinds = Counter(kind(one) for one in each.kernels)
        calls = ", ".join(str(kinds[name]) for name in _LIBRARIES.values())
        pads = sum(k.total_bytes for k in each.kernels if kind(k) == _PADS)
        matrix, moving = each.predicted
        lines.append(
            f"| {each.card} | {count} | {each.memory['argument'] / 1e9:.3f} "
            f"| {each.memory['temp'] / 1e9:.3f} | {calls} "
            f"| {_short(each.moved / 1e9 / count)} | {_short(pads / 1e9 / count)} "
            f"| {_short(each.flops / 1e12 / count)} | {_short(1e3 * matrix / count)} "
            f"| {_short(1e3 * moving / count)} | {each.seconds:.0f} |"
        )
    return "\n".join(lines)


def _short(number: float) -> str:
    """Return a number with three digits, all of those before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
