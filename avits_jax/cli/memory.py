"""Say that memory will not do before the work begins, and what would lower it."""

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from avits_jax.cli.errors import CliError
from avits_jax.cli.options import ModelOptions

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
        holds_weights: whether weights that are loaded count against it; what is left of
            a CPU's memory is without them already.
    """

    num_bytes: int | None
    holds_weights: bool


class Need(NamedTuple):
    """Bytes that a compiled program needs on each device.

    Attributes:
        arguments: weights and inputs.
        outputs: results.
        temporaries: everything in between.
    """

    arguments: int
    outputs: int
    temporaries: int


def device_memory() -> Memory:
    """Return the memory of the default device."""
    import jax

    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return Memory(_free_on_host(), holds_weights=False)
    stats = device.memory_stats() or {}
    return Memory(stats.get("bytes_limit"), holds_weights=True)


def need_of(compiled: Any) -> Need | None:
    """Return what a program compiled by JAX needs; None where XLA does not tell."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    return Need(
        found.argument_size_in_bytes,
        max(0, found.output_size_in_bytes - found.alias_size_in_bytes),
        found.temp_size_in_bytes,
    )


def check_program(
    need: Need | None, memory: Memory, settings: str = SEARCH_SETTINGS
) -> None:
    """Raise CliError if a program does not fit.

    Args:
        need: of the program; None is let through.
        memory: of the device.
        settings: what lowers the need, in words.
    """
    if need is None or memory.num_bytes is None:
        return
    total = need.outputs + need.temporaries
    parts = f"{_gb(need.temporaries)} to work in and {_gb(need.outputs)} for results"
    if memory.holds_weights:
        total += need.arguments
        parts += f", beside {_gb(need.arguments)} of weights and inputs"
    if total > memory.num_bytes:
        raise CliError(
            f"this needs about {_gb(total)} of memory ({parts}), and "
            f"{_gb(memory.num_bytes)} are available; lower it with {settings}"
        )


def check_weights(
    options: ModelOptions, verifiers: tuple[str, ...], num_shards: int = 1
) -> None:
    """Raise CliError if weights alone do not fit, before any is read.

    Args:
        options: generator, or none where its name is ""; dtype.
        verifiers: names.
        num_shards: devices that share one copy.
    """
    memory = device_memory()
    if memory.num_bytes is None:
        return
    sizes = {
        name: size // num_shards
        for name, size in _weight_bytes(options, verifiers).items()
    }
    if sum(sizes.values()) <= memory.num_bytes:
        return
    parts = ", ".join(f"{name} {_gb(size)}" for name, size in sizes.items())
    bfloat16 = (options.dtype or _default_dtype()) == "bfloat16"
    remedy = "take smaller models" if bfloat16 else "--dtype bfloat16 halves them"
    raise CliError(
        f"the weights need about {_gb(sum(sizes.values()))} of memory ({parts}), and "
        f"{_gb(memory.num_bytes)} are available; {remedy}"
    )


def _weight_bytes(options: ModelOptions, verifiers: tuple[str, ...]) -> dict[str, int]:
    """Return bytes of the weights by model; those of one network count once."""
    sizes = {}
    if options.model:
        sizes[options.model] = _generator_bytes(options)
    seen = set()
    for name in verifiers:
        folder, size = _verifier_bytes(name, options)
        if folder not in seen:
            sizes[name] = size
        seen.add(folder)
    return {name: size for name, size in sizes.items() if size}


def _generator_bytes(options: ModelOptions) -> int:
    from avits_jax import generators

    name, dtype = options.model, options.dtype or _default_dtype()
    infos = {info.name: info for info in generators.available()}
    if name in infos and infos[name].random:  # reduced, for trying out
        return 0
    if generators.randomly_initialised(name, options.random_weights):
        return _drawn_bytes(
            lambda: generators.load(name, dtype=dtype, random_weights=True)[1]
        )
    folder = infos[name].folder if name in infos else Path(name)
    return _stored_bytes(folder, dtype)


def _verifier_bytes(name: str, options: ModelOptions) -> tuple[Path | None, int]:
    """Return where weights come from, and their size."""
    from avits_jax import verifiers
    from avits_jax.catalogue.names import TINY, parse

    request, dtype = parse(name), options.dtype or _default_dtype()
    if request.checkpoint == TINY:
        return None, 0
    folders = {info.name: info.folder for info in verifiers.available()}
    own = Path(request.checkpoint) if request.checkpoint else None
    folder = own or folders[request.name]
    if verifiers.randomly_initialised([name], options.random_weights):
        return folder, _drawn_bytes(
            lambda: verifiers.load(
                [name], fps=24.0, sample_rate=16_000, dtype=dtype, random_weights=True
            )[1]
        )
    return folder, _stored_bytes(folder, dtype)


def _default_dtype() -> str:
    from avits_jax.weights.network import default_dtype

    return default_dtype()


def _drawn_bytes(load: Any) -> int:
    """Return the size of weights that would be drawn, from their shapes alone."""
    import jax

    leaves = jax.tree.leaves(jax.eval_shape(load))
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
    width = 2 if dtype == "bfloat16" else 4
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
