"""Choose the best of clips that exist, prompt by prompt."""

from collections.abc import Sequence
from pathlib import Path

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli.checks import check_clips, check_jury, check_places
from avits_jax.cli.errors import CliError
from avits_jax.cli.options import SelectOptions as Options

EXAMPLE = 'avits select takes/ --prompt "a red box falls once with a drum" --out best'


def run(options: Options, families: Sequence[Family] = FAMILIES) -> int:
    """Run the command; return its exit status."""
    from avits_jax.cli.groups import check_links, list_groups

    check_jury(options)
    check_clips(options)
    if Path(options.out) == Path():
        raise CliError("--out is empty, or the present folder; name a new one")
    check_places(options.out, options.start or "")
    groups = list_groups(
        options.clips, options.prompt, options.clip_column, options.prompt_column
    )
    if options.link:
        check_links(groups, options.out)
    # Only now what takes seconds to import and load.
    from avits_jax.cli import selecting

    return selecting.select(options, groups, families)
