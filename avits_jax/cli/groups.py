"""Which clips "avits select" chooses among, prompt by prompt."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from avits_jax.cli.checks import check_prompt
from avits_jax.cli.clips import table_rows, video_files
from avits_jax.cli.errors import CliError
from avits_jax.files.stores import address_of

_NAMED = 3  # missing files that are named


class Group(NamedTuple):
    """The clips of one prompt.

    Attributes:
        prompt: what they should show and sound like.
        clips: files, in order.
    """

    prompt: str
    clips: tuple[Path, ...]


def list_groups(
    arguments: Sequence[str], prompt: str | None, clip_column: str, prompt_column: str
) -> tuple[Group, ...]:
    """Read the positional arguments: clips and folders of one prompt, or a table.

    Args:
        arguments: as given.
        prompt: of all of them; None takes a table's.
        clip_column: of a table.
        prompt_column: likewise.

    Returns:
        At least one group, in the order in which the prompts appear.

    Raises:
        CliError: no clip, no prompt, two or an empty one, a file that is missing, an
            empty folder, or a table that cannot be read.
    """
    from avits_jax.media.prompts import TABLES

    tables = [a for a in arguments if Path(a).suffix.lower() in TABLES]
    if not arguments:
        raise CliError(
            "name clips and their --prompt, or a table of clips and prompts "
            f"({', '.join(TABLES)})"
        )
    if tables and (len(arguments) > 1 or prompt is not None):
        raise CliError(f"{tables[0]} holds its own prompts; name the table alone")
    if not tables and prompt is None:
        raise CliError('the prompt is missing; add --prompt "..."')
    if prompt is not None:
        groups = {prompt: [Path(argument) for argument in arguments]}
    else:
        groups = {}
        for item in table_rows(Path(tables[0]), clip_column, prompt_column):
            groups.setdefault(item.prompt, []).append(item.clip)
    for text in groups:
        check_prompt(text)
    found = tuple(Group(text, _files(paths)) for text, paths in groups.items())
    _check_there([clip for group in found for clip in group.clips])
    return found


def check_links(groups: Sequence[Group], out: str) -> None:
    """Raise CliError where no link can be: in a store, or to what is no .mp4."""
    from avits_jax.media.copying import MP4

    if address_of(out) is not None:
        raise CliError(f"--link: {out} holds no links; leave --link out to copy")

    for clip in (clip for group in groups for clip in group.clips):
        if clip.suffix.lower() not in MP4:
            raise CliError(
                f"--link needs .mp4 clips, got {clip}; leave --link out to copy them"
            )


def digest(groups: Sequence[Group]) -> str:
    """Return what tells these prompts and paths from others, and how many they are."""
    told = hashlib.sha256()
    for group in groups:
        for text in (group.prompt, *map(str, group.clips), ""):
            told.update(text.encode("utf-8", "surrogatepass") + b"\xff")
    count = sum(len(group.clips) for group in groups)
    return f"{count} clips of {len(groups)} prompts ({told.hexdigest()[:16]})"


def _files(paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(file for path in paths for file in video_files(path))


def _check_there(clips: Sequence[Path]) -> None:
    missing = [str(clip) for clip in clips if not clip.is_file()]
    if missing:
        more = len(missing) - _NAMED
        others = f" and {more} more" if more > 0 else ""
        names = ", ".join(missing[:_NAMED])
        several = len(missing) > 1
        raise CliError(
            f"{'clips' if several else 'clip'} {names}{others} "
            f"{'do' if several else 'does'} not exist"
        )
