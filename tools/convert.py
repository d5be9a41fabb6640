"""Convert published PyTorch weights into a checkpoint of this package.

    python tools/convert.py imagebind --source imagebind_huge.pth \\
        --out checkpoints/imagebind
    python tools/convert.py javisdit --source DOWNLOADS --out checkpoints/javisdit-v0.1

Reads safetensors (whole or sharded with an index) and torch.save files, which are read
as data only: a file that asks for anything but tensors is refused. Every key must fit
before anything is written; memory stays far below the size of the weights; the
checkpoint appears when it is complete, or not at all.
"""

import argparse
import glob
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from avits_jax.catalogue.generators import FAMILIES, Family  # noqa: E402
from avits_jax.files.json_values import parse_json  # noqa: E402
from avits_jax.weights.model import Model  # noqa: E402
from tools.converting.conversion import (  # noqa: E402
    Ready,
    check_target,
    convert,
    prepare,
)
from tools.converting.models import find_model, layout, modules  # noqa: E402


def parse(
    arguments: list[str] | None, families: Sequence[Family] = FAMILIES
) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0],
        epilog=f"what --source holds:\n{layout(families)}\n"
        "Tokenizer files in the same folders are copied along.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", choices=list(modules(families)), help="what to convert"
    )
    parser.add_argument(
        "--source", type=Path, required=True, help="file or folder, see below"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the new checkpoint"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="how weights are stored; bfloat16 keeps vectors (norms, biases) in "
        "float32. Default: bfloat16 where the source has it, else float32",
    )
    parser.add_argument(
        "--sizes",
        type=Path,
        metavar="FILE.json",
        help="sizes that differ from the published model's, by name of the "
        "configuration's field (javisdit: by part first)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a checkpoint that is there"
    )
    return parser.parse_args(arguments)


def read_sizes(path: Path | None) -> dict[str, Any]:
    """Sizes from a JSON file."""
    if path is None:
        return {}
    try:
        sizes = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"--sizes {path} is no readable JSON file: {error}") from None
    if not isinstance(sizes, dict):
        raise ValueError(f"--sizes {path} must be a JSON object, got {sizes!r}")
    return sizes


def describe(name: str, ready: Ready) -> str:
    """What was found of one network."""
    lines = [
        f"{name}: {ready.parameters:,} parameters, "
        f"{ready.total_bytes / 1e9:.2f} GB as stored, {len(ready.state)} keys"
    ]
    lines += [f"  dropped {n}: {why}" for why, n in ready.dropped.items()]
    if ready.tokenizer:
        names = ", ".join(Path(name).name for name in ready.tokenizer)
        lines.append(f"  copied along: {names}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """What a file says, in one line and without codes that terminals obey."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def unfinished(out: Path) -> list[Path]:
    """What conversions to ``out`` left that were killed, or are still running."""
    return sorted(out.parent.glob(f".{glob.escape(out.name)}.new-*"))


def run(model: Model, options: argparse.Namespace, console: Console) -> None:
    """Check everything, then write with a progress bar."""
    check_target(options.out, options.overwrite)
    for folder in unfinished(options.out):
        text = f"{folder} is unfinished: delete it unless a conversion is running"
        console.print(escape(text), highlight=False, soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task("converting")
    ready = prepare(
        model,
        options.source,
        sizes=read_sizes(options.sizes),
        dtype=options.dtype,
        advance=lambda count: bar.advance(task, count),
    )
    for name, part in ready.items():
        console.print(escape(describe(name or model.name, part)), highlight=False)
    bar.update(task, total=sum(part.total_bytes for part in ready.values()))
    with bar:
        convert(model, ready, options.out, overwrite=options.overwrite)
    console.print(f"wrote {escape(str(options.out))}", highlight=False, soft_wrap=True)


def main(
    arguments: list[str] | None = None, families: Sequence[Family] = FAMILIES
) -> int:
    """Convert; 0 on success, 2 on bad input, 1 on other errors, 130 after Ctrl-C.

    Args:
        arguments: of the command line; None for those of the process.
        families: the table of generators.
    """
    options = parse(arguments, families)
    console = Console()
    try:
        run(find_model(options.model, families), options, console)
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    # A job that is told to end cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
