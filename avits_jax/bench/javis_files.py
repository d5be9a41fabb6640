"""The files that JavisBench's program writes: its JSON, with bare NaN, and tables."""

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avits_jax.bench.javis_program import Inputs, Options, run_program
from avits_jax.bench.prompt_rows import PromptRows
from avits_jax.files.atomic import write_text


def javis_json(results: Mapping[str, Any]) -> str:
    """Return results as the program writes them: 4 spaces, NaN bare, no newline.

    That is no valid JSON where a category is empty; Python's reader takes it.
    """
    return json.dumps(results, indent=4, ensure_ascii=False)


def write_javis_files(
    path: str | os.PathLike[str], inputs: Inputs, options: Options
) -> list[str]:
    """Run the program and write what it writes, each file atomically.

    Args:
        path: of its JSON (``--output_file``); groups of metrics that it holds already
            are passed over, as the program does.
        inputs: scores and features.
        options: of its command line.

    Returns:
        The lines that it prints.

    Raises:
        ValueError: of `run_program`, after the groups before were written; or the file
            that is there is no such JSON.
        OSError: a file cannot be written.
    """
    path, lines = Path(path), []
    for step in run_program(inputs, options, _existing(path)):
        if step.line is not None:
            lines.append(step.line)
        if step.results is not None:
            write_text(path, javis_json(step.results))
        for ending, table in step.tables.items():
            write_text(path.with_name(path.stem + ending), _csv(table))
    return lines


def _existing(path: Path) -> dict[str, Any]:
    if not path.exists() or not path.stat().st_size:
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} holds no results of JavisBench: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no results of JavisBench: no object")
    return found


def _csv(table: PromptRows) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, table.columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.rows)
    return text.getvalue()
