"""Score clips for prompts with the chosen verifiers."""

from collections.abc import Sequence
from pathlib import Path

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.checks import check_clips, check_verifier_list
from avits_jax.cli.options import VerifyOptions as Options

EXAMPLE = 'avits verify runs/first/best.mp4 "a red circle bounces three times"'


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax.cli.clips import list_clips
    from avits_jax.cli.judgements import check_out

    check_verifier_list(options.verifiers)
    check_clips(options)
    asked = list_clips(options.clips, options.clip_column, options.prompt_column)
    check_out(None if options.out is None else Path(options.out))
    # Only now what takes seconds to import and load.
    from avits_jax.cli import verifying

    return verifying.verify(options, asked, families)
