"""Say that memory will not do before the work begins, and what would lower it."""

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from avits_jax.catalogue.names import TINY
from avits_jax.catalogue.resolve import Resolution, Resolved
from avits_jax.cli.errors import TooLargeError

SEARCH_SETTINGS = (
    "a smaller --candidate-batch, --num-candidates, --resolution or --duration, or "
    "--dtype bfloat16"
)
_GIGA = 1e9
_MEMINFO = Path("/proc/meminfo")


class Memory(NamedTuple):
    """Memory of the device that works.

    Attributes:
        num_bytes: there is, or is left; None where the system does not tell.
        holds_weights: whether weights that are loaded count against it; what is left is
            without them already.
    """

    num_bytes: int | None
    holds_weights: bool


class Need(NamedTuple):
    """Bytes that a compiled program needs on each device.

    Attributes:
        arguments: weights and inputs.
        outputs: results.
        temporaries: everything in between.
        absent: of the arguments, those that do not lie on the device yet.
    """

    arguments: int
    outputs: int
    temporaries: int
    absent: int = 0


def device_memory() -> Memory:
    """Return the memory of the default device, whatever lies there."""
    import jax

    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return Memory(_free_on_host(), holds_weights=False)
    stats = device.memory_stats() or {}
    return Memory(stats.get("bytes_limit"), holds_weights=True)


def free_memory() -> Memory:
    """Return what is left of the default device's memory, with the weights in place.

    On several hosts it is all of it: what is in use may differ among them, and they
    must come to the same decision.
    """
    import jax

    memory = device_memory()
    if not memory.holds_weights or memory.num_bytes is None or jax.process_count() > 1:
        return memory
    used = (jax.local_devices()[0].memory_stats() or {}).get("bytes_in_use")
    if used is None:
        return memory
    return Memory(memory.num_bytes - used, holds_weights=False)


def need_of(compiled: Any, arguments: Any = ()) -> Need | None:
    """Return what a program compiled by JAX needs; None where XLA does not tell.

    Args:
        compiled: the program.
        arguments: arrays that it will be called with.
    """
    found = compiled.memory_analysis()
    if found is None:
        return None
    return Need(
        found.argument_size_in_bytes,
        max(0, found.output_size_in_bytes - found.alias_size_in_bytes),
        found.temp_size_in_bytes,
        min(_elsewhere(arguments), found.argument_size_in_bytes),
    )


def _elsewhere(arguments: Any) -> int:
    """Return the bytes of arrays that are yet to go to the device: NumPy's."""
    import jax

    if jax.default_backend() == "cpu":  # where they lie already
        return 0
    leaves = jax.tree.leaves(arguments)
    return sum(leaf.nbytes for leaf in leaves if not isinstance(leaf, jax.Array))


def check_program(
    need: Need | None, memory: Memory, settings: str = SEARCH_SETTINGS
) -> None:
    """Raise TooLargeError if a program does not fit.

    Args:
        need: of the program; None is let through.
        memory: of the device.
        settings: what lowers the need, in words.
    """
    if need is None or memory.num_bytes is None:
        return
    total = need.outputs + need.temporaries
    parts = f"{_gb(need.temporaries)} to work in and {_gb(need.outputs)} for results"
    # What is left of the memory is without the arguments that lie there already.
    beside = need.arguments if memory.holds_weights else need.absent
    if beside:
        total += beside
        parts += f", beside {_gb(beside)} of weights and inputs"
    if total > memory.num_bytes:
        room = memory.num_bytes - (total - need.temporaries)
        raise TooLargeError(
            f"this needs about {_gb(total)} of memory ({parts}), and "
            f"{_gb(memory.num_bytes)} are available; lower it with {settings}",
            share=max(room, 0) / max(need.temporaries, 1),
        )


def check_weights(names: Resolution, dtype: str | None, num_shards: int = 1) -> None:
    """Raise TooLargeError if weights alone do not fit, before any is read.

    Args:
        names: of what shall be loaded.
        dtype: as asked for; None for the device's.
        num_shards: devices that share one copy.
    """
    memory = device_memory()
    if memory.num_bytes is None:
        return
    kind = dtype or _default_dtype()
    sizes = {
        name: size // num_shards for name, size in _weight_bytes(names, kind).items()
    }
    if sum(sizes.values()) <= memory.num_bytes:
        return
    parts = ", ".join(f"{name} {_gb(size)}" for name, size in sizes.items())
    remedy = "take smaller models"
    if kind == "float32":
        remedy = "--dtype bfloat16 halves them"
    raise TooLargeError(
        f"the weights need about {_gb(sum(sizes.values()))} of memory ({parts}), and "
        f"{_gb(memory.num_bytes)} are available; {remedy}"
    )


def _weight_bytes(names: Resolution, dtype: str) -> dict[str, int]:
    """Return bytes of the weights by name; those of one network count once."""
    sizes: dict[str, int] = {}
    seen: set[Path | None] = set()
    for each in names.everyone:
        reduced = each.info.random or each.request.checkpoint == TINY
        place = each.folder or each.info.folder
        if reduced or (place in seen):
            continue
        seen.add(place)
        # Which weights are held in 8 bits, the model alone says.
        if each.drawn or (each is names.model and dtype == "float8"):
            sizes[each.name] = _drawn_bytes(each, names, dtype)
        else:
            sizes[each.name] = _stored_bytes(each.folder, dtype)
    return {name: size for name, size in sizes.items() if size}


def _default_dtype() -> str:
    from avits_jax.weights.network import default_dtype

    return default_dtype()


def _drawn_bytes(each: Resolved, names: Resolution, dtype: str) -> int:
    """Return the size of weights from their shapes alone."""
    import jax

    from avits_jax import generators, verifiers

    def draw() -> Any:
        return verifiers.load([each], fps=24.0, sample_rate=16_000, dtype=dtype)[1]

    if each is names.model or each is names.refiner:
        _, shapes = generators.shapes(each, families=names.families, dtype=dtype)
    else:
        shapes = jax.eval_shape(draw)
    leaves = jax.tree.leaves(shapes)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def _stored_bytes(folder: Path | None, dtype: str) -> int:
    """Return the size in memory of a checkpoint's weights, 0 without a manifest."""
    import numpy as np

    from avits_jax.weights.checkpoint import read_manifest

    if folder is None or not folder.is_dir():
        return 0
    parts = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    found = [read_manifest(p) for p in parts if (p / "manifest.json").is_file()]
    leaves = [leaf for manifest in found for leaf in manifest["leaves"]]
    width = 4 if dtype == "float32" else 2  # at most
    return sum(int(np.prod(leaf["shape"])) * width for leaf in leaves)


def _free_on_host() -> int | None:
    """Return bytes that programs can still take, or None."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return None


def _gb(num_bytes: int) -> str:
    digits = 1 if num_bytes >= 0.1 * _GIGA else 3
    return f"{num_bytes / _GIGA:.{digits}f} GB"
