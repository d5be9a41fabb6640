"""The last step of ``avits bench``: tables, on the terminal and as files."""

from collections.abc import Sequence
from pathlib import Path

from avits_jax.bench import (
    Comparison,
    Evaluated,
    References,
    Table,
    compare,
    javis_inputs,
    members,
    read_costs,
    read_evaluated,
    read_published_rows,
    read_references,
    read_rows,
    references_of,
    tabulate,
    to_json,
    write_javis_files,
    write_references,
)
from avits_jax.bench.categories import Members
from avits_jax.bench.columns import BENCH, JAVISBENCH_MINI
from avits_jax.bench.evaluation import EVALUATION
from avits_jax.bench.javis_program import Options as ProgramOptions
from avits_jax.bench.prompt_rows import PromptRows
from avits_jax.bench.protocol import OF_CLIPS
from avits_jax.bench.published import PublishedRow, beside
from avits_jax.cli.errors import CliError, as_cli_error
from avits_jax.cli.labels import tell_labels
from avits_jax.cli.options import BenchOptions
from avits_jax.cli.run_progress import note
from avits_jax.cli.terminal import Column, console_for, print_columns
from avits_jax.media import write_json
from avits_jax.runs.clips import CLIPS
from avits_jax.runs.stored import is_run

RUN, TABLE, JAVIS = "run", "table.json", "javisbench.json"
_FILE_WIDTH = 200
_TOLD = 5


def tabulate_step(options: BenchOptions, out: Path) -> None:
    """Make the table of an evaluation, and set it against others.

    Raises:
        CliError: an evaluation or reference is missing, damaged, or of another
            protocol.
    """
    with as_cli_error():
        rows = _rows(options)
        references = _references(options, rows)
        evaluated, table = _table(options, out, rows, references)
        if options.write_references is not None:
            write_references(options.write_references, references_of(evaluated))
        others = [
            _table(options, Path(other), rows, references)[1]
            for other in options.against or ()
        ]
        comparisons = [compare(table, other) for other in others]
        rows_of_others = read_published_rows() if options.published else None
        found = to_json(
            [table, *others], {table.method.name: comparisons}, rows_of_others
        )
    folder = out / f"table-{options.mode}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / TABLE, found)
    _print(table, others, comparisons, _fitting(rows_of_others, table))
    print(f"table      {folder / TABLE}")
    if options.benchmark == JAVISBENCH_MINI and options.mode == BENCH:
        clips = options.clips or str(out / CLIPS)
        _write_javis(evaluated, rows, references, clips, folder)


def _rows(options: BenchOptions) -> PromptRows | None:
    if options.prompts is None:
        return None
    return read_rows(options.prompts, limit=options.limit)


def _table(
    options: BenchOptions,
    out: Path,
    rows: PromptRows | None,
    references: References | None,
) -> tuple[Evaluated, Table]:
    evaluated = read_evaluated([out / f"evaluated-{options.mode}"])
    count = evaluated.protocol.num_prompts
    run = out / RUN
    costs = read_costs(run, count) if is_run(run) else None
    table = tabulate(evaluated, references, _groups(options, rows, count), costs)
    return evaluated, table


def _groups(
    options: BenchOptions, rows: PromptRows | None, count: int
) -> Members | None:
    """Return the rows of JavisBench's categories, where the table names them."""
    if rows is None or options.benchmark != JAVISBENCH_MINI:
        return None
    if len(rows.rows) != count:
        raise CliError(
            f"--prompts has {len(rows.rows)} rows, the evaluation {count}; give the "
            "same --limit"
        )
    return members(rows.rows) if "cat0_ind" in rows.columns else None


def _references(options: BenchOptions, rows: PromptRows | None) -> References | None:
    if options.references is None:
        return None
    place = Path(options.references)
    inner = place / f"evaluated-{options.mode}"
    for folder in (place, inner):
        if (folder / EVALUATION).is_file():
            return references_of(read_evaluated([folder]))
    ids = None
    if rows is not None and "id" in rows.columns:
        ids = [cells["id"] for cells in rows.rows]
    return read_references(place, ids)


def _fitting(rows: Sequence[PublishedRow] | None, table: Table) -> list[PublishedRow]:
    """Return the published rows that may stand beside a table; say why others not."""
    fitting, others = beside(rows or (), table.protocol)
    for who, why in others.items():
        note(f"not shown: {who}: {why}")
    return fitting


def _print(
    table: Table,
    others: Sequence[Table],
    comparisons: Sequence[Comparison],
    published: Sequence[PublishedRow],
) -> None:
    """Print one line a column: ours, others, differences, published rows."""
    entries = list(table.entries.values())
    protocol = table.protocol
    print(f"{protocol.benchmark}, mode {protocol.mode}, {protocol.num_prompts} prompts")
    tell_labels(protocol.random_weights, ())
    _tell_faults(table)
    first = [
        Column(
            "column",
            [
                f"{e.column.title} {'↑' if e.column.higher else '↓'}"
                + ("*" if e.guided else "")
                for e in entries
            ],
            True,
        )
    ]
    columns = [
        Column(table.method.name, [_number(e.value) for e in entries]),
        Column("95%", [_interval(e.interval) for e in entries]),
        Column("clips", [str(e.num_clips) for e in entries]),
    ]
    for other, comparison in zip(others, comparisons, strict=True):
        columns.append(
            Column(
                other.method.name,
                [_number(other.entries[e.column.key].value) for e in entries],
            )
        )
        differences = [comparison.differences.get(e.column.key) for e in entries]
        columns.append(
            Column("ours - it", [_interval(d and d.interval) for d in differences])
        )
    for row in published:
        cells = [_number(row.columns.get(e.column.key)) for e in entries]
        columns.append(Column(f"{row.model}\n{row.source}", cells))
    print_columns(console_for(_FILE_WIDTH), first, columns)
    if any(e.guided for e in entries):
        print("* a reward that chose these clips")
    for entry in entries:
        if entry.value is None and entry.reason:
            note(f"{entry.column.title}: {entry.reason}")
    for other, comparison in zip(others, comparisons, strict=True):
        _tell(comparison)
        for name in OF_CLIPS:
            ours, theirs = (getattr(t.protocol, name) for t in (table, other))
            if ours != theirs:
                note(
                    f"{name}: {ours} of {table.method.name}, {theirs} of "
                    f"{other.method.name}"
                )


def _tell(comparison: Comparison) -> None:
    if comparison.domination is not None:
        share = comparison.domination.nobody[0]
        print(
            f"against {comparison.against}: no column is worse for {share:.0%} of "
            f"{comparison.domination.num_prompts} prompts"
        )
    for name, (ours, theirs) in comparison.costs.items():
        print(f"  {name} a prompt: {ours:.4g} against {theirs:.4g}")
    if comparison.equal_budget is False:
        note(f"{comparison.against} took another budget of network evaluations")


def _tell_faults(table: Table) -> None:
    faults = sorted(table.faults.items())
    for row, reason in faults[:_TOLD]:
        note(f"row {row} is in no number: {reason}")
    if len(faults) > _TOLD:
        note(f"and {len(faults) - _TOLD} more clips")


def _write_javis(
    evaluated: Evaluated,
    rows: PromptRows | None,
    references: References | None,
    clips: str,
    folder: Path,
) -> None:
    """Write JavisBench's own JSON, for scripts that read it."""
    if rows is None:
        note(f"{JAVIS} is not written: its categories are in --prompts")
        return
    try:
        inputs, groups = javis_inputs(evaluated, rows, references, clips)
        program = ProgramOptions(metrics=groups, force_eval=True)
        write_javis_files(folder / JAVIS, inputs, program)
    except ValueError as error:
        note(f"{JAVIS} is not written: {error}")
        return
    print(f"JavisBench {folder / JAVIS}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(found: Sequence[float] | None) -> str:
    return "-" if found is None else f"{found[1]:.4g} to {found[2]:.4g}"
