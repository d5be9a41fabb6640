"""Study kept rewards: check what was asked for, choose, print, write."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avits_jax.cli import study_tables
from avits_jax.cli.checks import check_places, check_store_writable, check_writable
from avits_jax.cli.errors import CliError, as_cli_error, check_known
from avits_jax.cli.options import StudyOptions
from avits_jax.cli.run_progress import note
from avits_jax.files.atomic import write_json
from avits_jax.files.copies import added_files
from avits_jax.files.stores import inside, open_store
from avits_jax.report.study_page import write_study_page
from avits_jax.report.study_plots import can_plot, write_study_plots
from avits_jax.runs import local_run
from avits_jax.study import (
    AGGREGATORS,
    Kept,
    Selection,
    count_selections,
    make_selections,
    make_study,
    read_kept,
    read_truth,
    to_json,
)

_MOST = 500  # selections; all are compared with each other


def study(options: StudyOptions) -> int:
    """Make the study that was asked for; return the exit status.

    Raises:
        CliError: bad input.
    """
    if not options.runs:
        raise CliError("RUN must name at least one run folder")
    aggregators = _aggregators(options)
    check_places(*options.runs, options.out or "")
    out = inside(options.runs[0], "study") if options.out is None else options.out
    with as_cli_error(), contextlib.ExitStack() as stack:
        folders = [stack.enter_context(local_run(run)) for run in options.runs]
        kept = read_kept(folders, options.guides, options.judges)
        selections = _selections(options, kept, aggregators)
        files = options.truth
        truth = None if files is None else read_truth(files, kept)
    _check_out(out)
    made = make_study(kept, selections, truth)
    numbers = to_json(made, list(options.runs), list(map(str, files or ())))
    with added_files(out) as folder:
        written = _write(folder, numbers)
    study_tables.print_study(numbers)
    for path in written:
        print(inside(out, path.name))
    return 0


def _write(folder: Path, numbers: dict[str, Any]) -> list[Path]:
    page = write_study_page(folder, numbers)
    written = [page, write_json(folder / "study.json", numbers)]
    if can_plot():
        return written + write_study_plots(folder, numbers)
    note("no pictures: matplotlib is not installed (pip install matplotlib)")
    return written


def _aggregators(options: StudyOptions) -> tuple[str, ...]:
    names = AGGREGATORS if options.aggregators is None else options.aggregators
    if not names:
        raise CliError(
            f"--aggregators must name at least one of {', '.join(AGGREGATORS)}"
        )
    for name in names:
        check_known("aggregator", name, AGGREGATORS)
        if names.count(name) > 1:
            raise CliError(f"--aggregators names {name!r} twice")
    return tuple(names)


def _selections(
    options: StudyOptions, kept: Kept, aggregators: Sequence[str]
) -> list[Selection]:
    count = kept.num_guides
    sizes = tuple(range(1, count + 1)) if options.sizes is None else options.sizes
    for size in sizes:
        if not 1 <= size <= count or sizes.count(size) > 1:
            raise CliError(
                f"--sizes must be different numbers from 1 to {count}, the number of "
                f"guides, got {', '.join(map(str, sizes))}"
            )
    weights = _weights(options.weights or (), kept.names[:count])
    total = count_selections(count, len(aggregators), sizes)
    total += len(weights) * len(aggregators)
    if not 1 <= total <= _MOST:
        raise CliError(
            f"there would be {total} selections, must be 1 to {_MOST}: change --sizes, "
            "--aggregators or --guides"
        )
    return make_selections(
        kept.names, range(count), aggregators, sizes=sizes, weights=weights
    )


def _weights(given: Sequence[float], guides: Sequence[str]) -> list[tuple[float, ...]]:
    count = len(guides)
    if len(given) % count:
        raise CliError(
            f"--weights must have one number for each guide, {', '.join(guides)}, or "
            f"several times as many: got {len(given)} numbers for {count} guides"
        )
    rows = [tuple(given[i : i + count]) for i in range(0, len(given), count)]
    for row in rows:
        if not all(0 <= weight < float("inf") for weight in row) or not any(row):
            raise CliError(
                "--weights must be numbers of at least 0, and not all 0 for a "
                f"selection, got {', '.join(f'{weight:g}' for weight in row)}"
            )
    return rows


def _check_out(place: str) -> None:
    if store := open_store(place):
        check_store_writable(store)
        return
    out = Path(place)
    if out == Path():
        raise CliError("--out is empty, or the present folder; name a new one")
    if out.exists() and not out.is_dir():
        raise CliError(f"--out {out} exists and is no folder")
    check_writable(out)
