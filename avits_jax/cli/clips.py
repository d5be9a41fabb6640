"""Which clips are scored, and for which prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from avits_jax.cli.errors import CliError, as_cli_error
from avits_jax.files.stores import check_local

_VIDEOS = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts"),
    *(".ogv", ".flv", ".wmv", ".3gp"),
}


class Item(NamedTuple):
    """A clip to score.

    Attributes:
        clip: the file, there or not.
        prompt: what it should show and sound like.
    """

    clip: Path
    prompt: str


class Asked(NamedTuple):
    """What the command line asks for.

    Attributes:
        items: clips and prompts.
        single: one file was named, whose faults are errors.
    """

    items: tuple[Item, ...]
    single: bool


def list_clips(arguments: Sequence[str], clip_column: str, prompt_column: str) -> Asked:
    """Read the positional arguments: ``CLIP... PROMPT``, or one table of both.

    Args:
        arguments: files and folders of clips, then the prompt; or a file of one of the
            endings of `media.prompts.TABLES`, whose paths are relative to it.
        clip_column: of the table.
        prompt_column: likewise.

    Raises:
        CliError: no clip, no prompt, an empty folder, or a table that cannot be read.
    """
    from avits_jax.media.prompts import TABLES

    if len(arguments) == 1 and Path(arguments[0]).suffix.lower() in TABLES:
        table = Path(arguments[0])
        return Asked(table_rows(table, clip_column, prompt_column), single=False)
    *clips, prompt = arguments or [""]
    if clips and Path(clips[0]).suffix.lower() in TABLES:
        raise CliError(f"{clips[0]} holds its own prompts; name the table alone")
    if Path(prompt).suffix.lower() in _VIDEOS and Path(prompt).is_file():
        raise CliError(f"the prompt is missing: the last argument is a clip, {prompt}")
    if not clips:
        raise CliError(
            f"name a clip and a prompt, or a table of both ({', '.join(TABLES)})"
        )
    _check_quoted(clips, prompt)
    single = len(clips) == 1 and not Path(clips[0]).is_dir()
    files = [file for clip in clips for file in video_files(Path(clip))]
    return Asked(tuple(Item(file, prompt) for file in files), single)


def _check_quoted(clips: Sequence[str], prompt: str) -> None:
    """Raise CliError where what follows the first clip reads like words of a prompt."""
    for place, word in enumerate(clips[1:], start=1):
        if not Path(word).suffix and not Path(word).exists():
            words = " ".join([*clips[place:], prompt])
            raise CliError(
                f"{word} is no clip; quote the prompt: "
                f'avits verify {" ".join(clips[:place])} "{words}"'
            )


def video_files(path: Path) -> list[Path]:
    """Return the path itself, or all videos of a folder by name.

    Raises:
        CliError: the folder holds none.
    """
    with as_cli_error():
        check_local(path, "a clip")
    if not path.is_dir():
        return [path]
    found = [
        p for p in path.iterdir() if p.suffix.lower() in _VIDEOS and not p.is_dir()
    ]
    if not found:
        raise CliError(
            f"folder {path} holds no video (folders in it are not looked into)"
        )
    return sorted(found)


def table_rows(table: Path, clip_column: str, prompt_column: str) -> tuple[Item, ...]:
    """Read a table of clips and prompts; its paths are relative to it.

    Raises:
        CliError: it cannot be read, or lacks a column.
    """
    from avits_jax.media import read_prompts

    with as_cli_error():
        clips = list(read_prompts(table, column=clip_column))
        prompts = list(read_prompts(table, column=prompt_column))
        for clip in clips:
            if not clip.text:
                raise ValueError(
                    f"{table}, row {clip.index} from 0: {clip_column!r} is empty"
                )
            check_local(clip.text, f"{table}, row {clip.index} from 0: {clip_column!r}")
    return tuple(
        Item(table.parent / clip.text, prompt.text)
        for clip, prompt in zip(clips, prompts, strict=True)
    )
