"""Convert published PyTorch weights into a checkpoint of this package."""

import contextlib
import dataclasses
import glob
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.errors import CliError, as_refusal, check_known, printable
from avits_jax.cli.options import JsonFile, LoraFiles, StoredType
from avits_jax.weights.dtypes import DTYPES, FLOAT8

if TYPE_CHECKING:
    from avits_jax.converting import Ready
    from avits_jax.converting.files import LoraFile
    from avits_jax.weights.model import Model

EXAMPLE = (
    "avits convert imagebind --source imagebind_huge.pth --out checkpoints/imagebind"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Convert published PyTorch weights into a checkpoint of this package.

    Reads safetensors (whole or sharded with an index) and torch.save files, which are
    read as data only: a file that asks for anything but tensors is refused. Every key
    must fit before anything is written; memory stays far below the size of the weights;
    the checkpoint appears when it is complete, or not at all.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """What to convert, see above."""
    source: Path
    """File or folder with the published weights, see above."""
    out: Path
    """Folder of the new checkpoint."""
    dtype: StoredType = None
    """How weights are stored; bfloat16 keeps vectors (norms, biases) in float32, float8
    does so too and holds linear layers in 8 bits, of models that have such a form."""
    lora: LoraFiles = ()
    """Low-rank updates to merge, and their strength (1); of models that have some."""
    sizes: JsonFile = None
    """Sizes other than published, by field of the config; javisdit: by part first."""
    overwrite: bool = False
    """Replace a checkpoint that is there."""


def notes(families: Sequence[Family]) -> str:
    """Return what --source holds for each model, for the help."""
    from avits_jax.converting import layout

    return (
        f"what --source holds:\n{layout(families)}\n\n"
        "Tokenizer files in the same folders are copied along."
    )


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    import jax

    from avits_jax import converting

    check_known("model", options.model, converting.modules(families))
    if options.dtype is not None:
        check_known("dtype", options.dtype, (*DTYPES, FLOAT8))
    if options.out == Path():
        raise CliError("--out is empty, or the present folder; name a new one")
    jax.config.update("jax_platforms", "cpu")  # no accelerator is needed, or taken
    with as_refusal(), _ending_as_after_ctrl_c():
        converting.check_target(options.out, options.overwrite)
        for folder in _unfinished(options.out):
            text = f"{folder} is unfinished: delete it unless a conversion is running"
            print(printable(text))
        _convert(converting.find_model(options.model, families), options)
    print(f"wrote      {printable(str(options.out))}")
    return 0


def _convert(model: "Model", options: Options) -> None:
    """Check everything, then write with a progress bar."""
    from avits_jax.cli.progress import stage
    from avits_jax.converting import convert, prepare

    loras = [_read_lora(text) for text in options.lora]
    advance: list[Callable[[int], None]] = []
    sizes = _read_sizes(options.sizes)
    with stage("Checking every key"):
        ready = prepare(
            model,
            options.source,
            sizes=sizes,
            dtype=options.dtype,
            loras=loras,
            advance=lambda count: advance[-1](count),
        )
    for name, part in ready.items():
        print(_describe(name or model.name, part))
    total = sum(part.total_bytes for part in ready.values())
    with stage("Converting", "Converted", total, in_bytes=True) as converting:
        advance.append(converting.advance)
        convert(model, ready, options.out, loras=loras, overwrite=options.overwrite)


def _read_lora(text: str) -> "LoraFile":
    """Return the file and the strength that FILE[:SCALE] names."""
    from avits_jax.converting.files import LoraFile

    file, _, scale = text.rpartition(":")
    if not file or Path(text).exists():
        file, scale = text, "1"
    try:
        strength = float(scale)
    except ValueError:
        file, strength = text, 1.0
    if not math.isfinite(strength):
        raise CliError(f"--lora {text}: the scale must be a number, got {scale}")
    if not Path(file).is_file():
        raise CliError(f"--lora {file} is no file")
    return LoraFile(Path(file), strength)


def _read_sizes(path: Path | None) -> Mapping[str, Any]:
    """Return sizes from a JSON file."""
    from avits_jax.files.json_values import parse_json

    if path is None:
        return {}
    try:
        sizes = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CliError(f"--sizes {path} is no readable JSON file: {error}") from None
    if not isinstance(sizes, dict):
        raise CliError(f"--sizes {path} must be a JSON object, got {sizes!r}")
    return sizes


def _describe(name: str, ready: "Ready") -> str:
    """Say what was found of one network."""
    lines = [
        f"{name}: {ready.parameters:,} parameters, "
        f"{ready.total_bytes / 1e9:.2f} GB as stored, {len(ready.state)} keys"
    ]
    lines += [f"  dropped {n}: {why}" for why, n in ready.dropped.items()]
    if ready.tokenizer:
        names = ", ".join(Path(name).name for name in ready.tokenizer)
        lines.append(f"  copied along: {names}")
    return "\n".join(lines)


def _unfinished(out: Path) -> list[Path]:
    """Return what conversions to ``out`` left that were killed, or are running."""
    return sorted(out.parent.glob(f".{glob.escape(out.name)}.new-*"))


@contextlib.contextmanager
def _ending_as_after_ctrl_c() -> Iterator[None]:
    """Let a job that is told to end (SIGTERM) clean up as after Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # other threads may set no handler
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
