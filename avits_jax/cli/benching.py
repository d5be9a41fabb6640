"""The steps of ``avits bench``: generate, evaluate, tabulate."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avits_jax.bench import (
    EvaluationFolder,
    Method,
    Protocol,
    prompts_digest,
    read_rows,
)
from avits_jax.bench.clip_files import (
    ClipFile,
    find_clips,
    missing_rows,
    shape_of,
    stem_of,
    write_sound,
)
from avits_jax.bench.columns import columns_of
from avits_jax.bench.measures import COLUMNS_NEEDED, PROMPT_COLUMN
from avits_jax.bench.prompt_rows import PromptRows
from avits_jax.catalogue.generators import Family
from avits_jax.cli import bench_tables, program, session
from avits_jax.cli.bench_jury import BenchJury
from avits_jax.cli.errors import CliError, as_cli_error, status_of
from avits_jax.cli.labels import tell_labels
from avits_jax.cli.options import BenchOptions, RunOptions
from avits_jax.cli.progress import stage
from avits_jax.cli.run_progress import note
from avits_jax.files.atomic import replacing
from avits_jax.media import read_clip
from avits_jax.runs import clip_name, read_records, read_run
from avits_jax.runs.clips import CLIPS, file_crc
from avits_jax.runs.folder import SCALE
from avits_jax.runs.records import DONE
from avits_jax.runs.stored import is_run

RUN = "run"


def bench(options: BenchOptions, families: Sequence[Family]) -> int:
    """Take the steps that are asked for; return the exit status.

    Raises:
        CliError: bad input, or work that failed; what was done is safe.
    """
    out, statuses = Path(options.out), []
    if options.step in ("generate", "all"):
        statuses.append(_generate(options, out, families))
    if options.step in ("evaluate", "all"):
        statuses.append(_evaluate(options, out))
    if options.step in ("tabulate", "all"):
        bench_tables.tabulate_step(options, out)
    return max(statuses, default=0)


def evaluated_folder(out: Path, mode: str) -> Path:
    """Return where an evaluation lies in the folder of all steps."""
    return out / f"evaluated-{mode}"


def _generate(options: BenchOptions, out: Path, families: Sequence[Family]) -> int:
    """Generate all clips, and lay them out as the benchmark names them."""
    names = {field.name for field in dataclasses.fields(RunOptions)}
    shared = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name in names
    }
    run = RunOptions(
        **shared | {"out": str(out / RUN)},
        column=PROMPT_COLUMN[options.benchmark],
        image_column="",
    )
    table = _rows(options)
    # As large as they are: players' clips are drawn larger where they are small.
    status = session.run_session(run, families, {SCALE: 1})
    with stage("Laying out the clips", "Laid out the clips"):
        _lay_out(options, table, out)
    return status


def _lay_out(options: BenchOptions, table: PromptRows, out: Path) -> None:
    """Write every chosen clip under the benchmark's name, and its sound beside it."""
    folder = out / CLIPS
    folder.mkdir(exist_ok=True)
    for record in read_records(out / RUN):
        stem = stem_of(options.benchmark, record.row, table.rows[record.row])
        target = folder / f"{stem}.mp4"
        source = out / RUN / CLIPS / clip_name(record.row)
        there = target.exists() and file_crc(target) == record.clip_crc
        if record.status != DONE or there:
            continue
        clip = read_clip(source, max_seconds=None)
        write_sound(folder / f"{stem}.wav", clip.audio, clip.sample_rate)
        with replacing(target) as temporary:  # last: it says that both are there
            shutil.copyfile(source, temporary)


def _rows(options: BenchOptions) -> PromptRows:
    with as_cli_error():
        return read_rows(
            str(options.prompts), COLUMNS_NEEDED[options.benchmark], options.limit
        )


def _evaluate(options: BenchOptions, out: Path) -> int:
    """Measure every clip that has not all its numbers; return the exit status."""
    program.use_compilation_cache(options.compilation_cache)
    table = _rows(options)
    with as_cli_error():
        total = len(read_rows(str(options.prompts)).rows)
        files = find_clips(
            options.clips or out / CLIPS, options.benchmark, table.rows, total
        )
    _check_missing(options, files)
    with stage("Loading the networks", "Loaded"):
        jury = BenchJury(options)
    _tell_left_out(jury)
    place = evaluated_folder(out, options.mode)
    method, seeds = _method(options, out)
    protocol = _protocol(options, table, files, jury, seeds)
    with as_cli_error():
        folder = EvaluationFolder(place, protocol, method, jury.left_out)
    counts: Counter[str] = Counter()
    tell_labels(protocol.random_weights, ())
    try:
        with folder:
            _measure(options, jury, folder, files, table, counts)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; {counts.total()} more clips are measured, the same command "
            "goes on from there"
        ) from None
    _tell_seconds(jury, sum(counts.values()))
    print(f"evaluated  {place}")
    return status_of(counts.total(), counts["broken"])


def _check_missing(options: BenchOptions, files: Sequence[ClipFile]) -> None:
    missing = missing_rows(files)
    if not missing:
        return
    if not options.skip_missing:
        raise CliError(
            f"clips are missing: {missing}; make them, or --skip-missing counts them"
        )
    note(f"clips are missing: {missing}")


def _method(options: BenchOptions, out: Path) -> tuple[Method, tuple[int, ...] | None]:
    """Return what made the clips, and from which seeds."""
    name = options.name or out.resolve().name
    place = Path(options.clips) if options.clips else out / RUN
    if not is_run(place):
        return Method(name), None
    with as_cli_error():
        made = read_run(place)
    settings: Mapping[str, Any] = made["settings"]
    method = Method(
        name,
        settings.get("search"),
        settings.get("num_candidates"),
        tuple(made["verifiers"]),
    )
    seed = settings.get("seed")
    return method, None if seed is None else (int(seed),)


def _protocol(
    options: BenchOptions,
    table: PromptRows,
    files: Sequence[ClipFile],
    jury: BenchJury,
    seeds: tuple[int, ...] | None,
) -> Protocol:
    from av import __version__ as version
    from av import library_versions

    codec = ".".join(map(str, library_versions["libavcodec"]))
    shape = shape_of([file for file in files if file.video is not None])
    column = PROMPT_COLUMN[options.benchmark]
    columns = columns_of(options.benchmark)
    return Protocol(
        benchmark=options.benchmark,
        mode=options.mode,
        prompts=prompts_digest(cells[column] for cells in table.rows),
        num_prompts=len(table.rows),
        seeds=seeds,
        resolution=shape.resolution,
        frames=shape.frames,
        fps=shape.fps,
        sample_rate=shape.sample_rate,
        checkpoints=jury.checkpoints,
        decoders={"av": version, "libavcodec": codec},
        variants={key: columns[key].variant(options.mode) for key in jury.columns},
    )


def _measure(
    options: BenchOptions,
    jury: BenchJury,
    folder: EvaluationFolder,
    files: Sequence[ClipFile],
    table: PromptRows,
    counts: Counter[str],
) -> None:
    columns = columns_of(options.benchmark)
    needed = {key for key in jury.columns if not columns[key].features}
    needed |= set(jury.features)
    left = [file for file in files if not needed <= folder.known(file.row)]
    if len(left) < len(files):
        note(f"{len(files) - len(left)} clips are evaluated already")
    with stage("Measuring clips", "Measured", len(left)) as current:
        for start in range(0, len(left), options.batch):
            some = left[start : start + options.batch]
            found = jury.judge(some, [table.rows[file.row] for file in some])
            folder.add(found)
            for clip in found:
                counts["broken" if clip.fault else "whole"] += 1
            current.advance(len(some))


def _tell_left_out(jury: BenchJury) -> None:
    reasons: dict[str, list[str]] = {}
    for column, reason in jury.left_out.items():
        reasons.setdefault(reason, []).append(column)
    for reason, names in reasons.items():
        note(f"left out: {', '.join(names)}: {reason}")


def _tell_seconds(jury: BenchJury, count: int) -> None:
    """Say where the time went."""
    total = sum(jury.seconds.values())
    if not count or not total:
        return
    parts = sorted(jury.seconds.items(), key=lambda each: -each[1])
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in parts)
    note(f"{total / count:.2f} s a clip: {shares}")
