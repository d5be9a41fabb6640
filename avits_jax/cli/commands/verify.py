"""Score clips for prompts with the chosen verifiers."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from avits_jax.cli.checks import DTYPES, check_verifier_list
from avits_jax.cli.errors import CliError, check_known
from avits_jax.cli.options import (
    DEFAULT_MODEL,
    DEFAULT_VERIFIERS,
    Names,
    OutFile,
    WeightType,
)

EXAMPLE = 'avits verify runs/first/best.mp4 "a red circle bounces three times"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Score clips for prompts with the chosen verifiers; higher is better.

    Name files or folders and one prompt for all; or a table (.csv, .jsonl) of clips and
    prompts, whose paths are relative to it. Verifiers see a clip at its own size,
    length and rates; mini's see it fitted to the model's own clips, and what that
    changes is said.

    Exit status 1: no clip has all its scores; 3: some have.
    """

    clips: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CLIP... PROMPT")
    ] = ()
    """Video files or folders of them, and what they should show and sound like."""
    verifiers: Names = DEFAULT_VERIFIERS
    """Verifiers that judge the clips: NAME, or NAME[@CHECKPOINT][:MODE]."""
    model: str = DEFAULT_MODEL
    """Generator to whose clips a clip is fitted for mini's verifiers."""
    max_seconds: float = 30.0
    """How much of a clip is read."""
    clip_column: str = "clip"
    """Column (.csv) or key (.jsonl) of a table that holds paths."""
    prompt_column: str = "prompt"
    """Column or key that holds prompts."""
    dtype: WeightType = None
    """Of the weights, and what networks compute in: float32 or bfloat16."""
    random_weights: bool = False
    """Draw weights that are missing: all can be tried, but nothing means anything."""
    json: bool = False
    """Print JSON instead of a table."""
    out: OutFile = None
    """Write everything to a file, too."""
    compilation_cache: bool = True
    """Whether compiled programs are kept for the next time."""


def run(options: Options) -> int:
    """Run the command; return its exit status."""
    from avits_jax.cli.clips import list_clips
    from avits_jax.cli.verdicts import check_out

    check_verifier_list(options.verifiers)
    if options.dtype is not None:
        check_known("dtype", options.dtype, DTYPES)
    if not options.max_seconds > 0:
        raise CliError(f"--max-seconds must be above 0, got {options.max_seconds}")
    asked = list_clips(options.clips, options.clip_column, options.prompt_column)
    check_out(None if options.out is None else Path(options.out))
    # Only now what takes seconds to import and load.
    from avits_jax.cli import verifying

    return verifying.verify(options, asked)
