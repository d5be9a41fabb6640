"""One session of ``avits run``: start or resume, search, finish."""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avits_jax import runs
from avits_jax.catalogue.generators import IMAGE, Family
from avits_jax.catalogue.resolve import Resolution
from avits_jax.cli import aggregators, backend, program
from avits_jax.cli.checks import check_store_writable
from avits_jax.cli.config import set_fields, write_config
from avits_jax.cli.devices import Machine, choose_devices, idle_notices
from avits_jax.cli.errors import FAILED, CliError, as_cli_error, status_of
from avits_jax.cli.host_log import host_log
from avits_jax.cli.labels import tell_labels
from avits_jax.cli.model_options import write_assignments
from avits_jax.cli.options import (
    DEFAULT_IMAGE_COLUMN,
    DeviceOptions,
    RunOptions,
    SelectOptions,
)
from avits_jax.cli.policies import choose_policy
from avits_jax.cli.progress import stage
from avits_jax.cli.run_progress import note, prompt_bar
from avits_jax.files.stores import address_of, inside, open_store
from avits_jax.media import Prompt, picture_mark, write_text
from avits_jax.runs import states
from avits_jax.runs.clips import CLIPS
from avits_jax.runs.facts import run_facts
from avits_jax.runs.records import DONE, RECORDS, REFUSED
from avits_jax.runs.records import FAILED as NO_CANDIDATE
from avits_jax.types import PyTree

_DEVICE_FLAGS = tuple(field.name for field in dataclasses.fields(DeviceOptions))
_NOTHING: Mapping[str, Any] = {}
# What may differ between two sessions of one run: no prompt's result depends on it.
_FREE = (
    *("prompts", "out", "limit", "config", "compilation_cache", "start"),
    "image_column",  # records tell of every row's picture
    *_DEVICE_FLAGS,
)


class _Made(NamedTuple):
    """What a session works with.

    Attributes:
        work: what is done with a prompt.
        plan: sizes of the search, as JSON values.
    """

    work: runs.Work
    plan: dict[str, Any]


class _Start(NamedTuple):
    """Where this session begins.

    Attributes:
        prompts: those that are not done.
        counts: how many are, by status.
        state: the aggregator's.
        lost: those that are done, but whose clip is missing or damaged; the writer
            alone knows which.
        num_lost: how many they are.
    """

    prompts: Iterator[Prompt]
    counts: Counter[str]
    state: PyTree
    lost: list[runs.Lost]
    num_lost: int


def run_session(
    options: RunOptions, families: Sequence[Family], more: Mapping[str, Any] = _NOTHING
) -> int:
    """Work on a run until every prompt has a record; return the exit status.

    Args:
        options: of the command, checked.
        families: the table of generators.
        more: settings that are no flags.

    Raises:
        CliError: bad input, or work that failed; what was done is safe.
        KeyboardInterrupt: with a message that says how far the run got.
    """
    machine = choose_devices(options)
    with host_log(options.log):
        return _run(options, families, machine, more)


def _run(
    options: RunOptions,
    families: Sequence[Family],
    machine: Machine,
    more: Mapping[str, Any],
) -> int:
    program.use_compilation_cache(options.compilation_cache)
    chosen = aggregators.choose_aggregator(options)
    names = backend.resolve_names(
        options.model,
        options.everyone,
        options.random_weights,
        families,
        refine=options.refine is not None,
    )
    store = open_store(options.out)
    if store is not None and machine.host.writer:
        check_store_writable(store)
    survey = _survey(options)
    if survey.pictures:
        backend.check_ability(IMAGE, f"{options.prompts} has pictures", names)
    fresh = first_state(options, chosen)
    # What only the loaded model or its program can tell must not leave a folder behind.
    made = None
    if not runs.is_run(options.out):
        made = _load(options, chosen, names, machine)
        _compile(made.work, _one_of_each_kind(options, survey))
    with contextlib.ExitStack() as stack:
        folder = None
        if machine.host.writer:
            plan = {} if made is None else made.plan
            facts = _facts(options, chosen, names, fresh, more) | {"plan": plan}
            folder = stack.enter_context(open_run(options, facts))
        start = _start(options, folder, fresh, machine.host)
        counts = start.counts
        stack.enter_context(saying_what_is_safe(counts))
        if folder is not None:
            folder.put_rows({"count": survey.total, "digest": survey.digest})
        first = next(start.prompts, None)
        if first is not None or start.num_lost:
            made = made or _load(options, chosen, names, machine)
            _make_again(options, made.work, start, fresh, folder, machine.host)
        if made is not None and first is not None:
            prompts = itertools.chain([first], start.prompts)
            found = runs.search_prompts(
                made.work, prompts, start.state, folder, options.text_ahead
            )
            _consume(found, counts, survey.own, quiet=folder is None)
        if folder is not None:
            finish(options, chosen, folder, counts)
    return status_of(counts.total(), counts.total() - counts[DONE])


def first_state(
    options: RunOptions | SelectOptions, chosen: aggregators.Chosen
) -> PyTree:
    """Return the aggregator's state before the first prompt.

    Raises:
        CliError: --start names no run of the same verifiers and aggregator.
    """
    fresh = states.on_host(chosen.aggregator.init(len(options.verifiers)))
    if options.start is None:
        return fresh
    if options.prior or options.prior_mean:
        raise CliError("--start has learned already; leave the prior out")
    with as_cli_error("--start: "), runs.local_run(options.start) as folder:
        return runs.state_of(folder, options.verifiers, fresh)


def start_facts(options: RunOptions | SelectOptions, fresh: PyTree) -> dict[str, str]:
    """Return what run.json says of --start: what tells that state from others."""
    if options.start is None:
        return {}
    return {"start": hashlib.sha256(states.pack(fresh)).hexdigest()[:16]}


def _survey(options: RunOptions) -> runs.Survey:
    """Return what the prompts file holds; reads, and so checks, all of it.

    Raises:
        CliError: it cannot be read, or the shard is empty.
    """
    with as_cli_error():
        found = runs.survey_prompts(
            options.prompts,
            column=options.column,
            limit=options.limit,
            shard=_shard(options),
            image_column=_image_column(options),
        )
    if not found.own:
        raise CliError(f"--shard {options.shard} of {options.prompts} holds no prompt")
    if options.image_column and not found.pictures:
        raise CliError(
            f"--image-column {options.image_column}: no row of {options.prompts} has "
            "such a picture"
        )
    if options.image is not None and found.pictures:
        raise CliError(
            f"--image is for all rows, but {options.prompts} has pictures of its own "
            f"in {_image_column(options)!r}; leave --image out, or say "
            "--image-column ''"
        )
    return found


def _image_column(options: RunOptions) -> str:
    column = options.image_column
    return DEFAULT_IMAGE_COLUMN if column is None else column


def _shard(options: RunOptions) -> runs.Shard:
    return runs.parse_shard(options.shard or "1/1")


def _prompts(options: RunOptions) -> Iterator[Prompt]:
    return runs.shard_prompts(
        options.prompts,
        column=options.column,
        limit=options.limit,
        shard=_shard(options),
        image_column=_image_column(options),
    )


def _one_of_each_kind(options: RunOptions, survey: runs.Survey) -> list[Prompt]:
    """Return the first prompt with a picture, and the first without, if there are.

    Each kind has a program of its own; that of a picture is the larger one.
    """
    if not survey.pictures:
        return [next(_prompts(options))]
    found: dict[bool, Prompt] = {}
    for prompt in _prompts(options):
        found.setdefault(prompt.image is None, prompt)
        if len(found) == 2:
            break
    return [found[kind] for kind in sorted(found)]


def _load(
    options: RunOptions,
    chosen: aggregators.Chosen,
    names: Resolution,
    machine: Machine,
) -> _Made:
    with stage(f"Loading {options.model}", "Loaded"):
        loaded = backend.load(options, names, machine)
        policy = choose_policy(options, options, loaded.generator)
        work = program.make_work(loaded, chosen, policy, options, machine.devices)
        work = program.profiled(work, options.profile)
    if machine.host.writer:
        abilities = functools.partial(backend.abilities, names)
        idle = idle_notices(machine, policy.largest, abilities)
        tell_labels(names.drawn, [*names.notices, *idle])
    return _Made(work, policy.plan)


def _compile(work: runs.Work, prompts: Sequence[Prompt]) -> None:
    """Compile the search, unless a model refuses the prompt; the run records that."""
    for prompt in prompts:
        with contextlib.suppress(runs.PromptError):
            cond = runs.encode_row(work, prompt)
            with stage("Compiling the search", "Compiled"):
                work.prepare(cond)


def open_run(
    options: RunOptions | SelectOptions, facts: Mapping[str, Any]
) -> runs.RunFolder:
    """Open the run folder, or make it; say what has changed since it was begun.

    Args:
        options: of the command.
        facts: what run.json says of it.

    Raises:
        CliError: it is of other settings, is damaged, or another process writes to it.
    """
    with as_cli_error():
        folder = runs.RunFolder(options.out, facts)
    if folder.resumed:
        then = {**folder.made["versions"], "device": folder.made["device"]}
        now = {**facts["versions"], "device": facts["device"]}
        changed = [k for k in now if then.get(k) != now[k]]
        for name in changed:
            note(f"{name} was {then.get(name)} when this run began, now {now[name]}")
    return folder


def _facts(
    options: RunOptions,
    chosen: aggregators.Chosen,
    names: Resolution,
    fresh: PyTree,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what run.json says."""
    settings = set_fields(options, without=_FREE) | {
        "random_weights": options.random_weights or None,
        "preview_decoder": options.preview_decoder or None,
        "image": None if options.image is None else picture_mark(options.image),
        "set": list(write_assignments(options.set)) or None,
        "weights": list(chosen.weights),
        "optimizer": chosen.parameters.get("optimizer"),
        "checkpoints": [f"{each.name} {each.digest}" for each in names.everyone],
    }
    settings |= start_facts(options, fresh) | dict(more)
    labels = {"random_weights": list(names.drawn), "notices": list(names.notices)}
    made = run_facts(
        options.verifiers, options.judges, fresh, settings, options.prompts
    )
    return made | labels


def _start(
    options: RunOptions, folder: runs.RunFolder | None, fresh: PyTree, host: runs.Host
) -> _Start:
    """Find out which prompts are done, and with which state to go on."""
    with as_cli_error():
        prompts, counts, state = _prompts(options), Counter[str](), fresh
        lost: list[runs.Lost] = []
        if folder is not None:
            done = folder.take_up(lost)
            prompts, counts, data = runs.resume(prompts, done, options.prompts)
            state = states.after(data, fresh)
    numbers = np.int32(counts.total()), np.int32(len(lost))
    (count, num_lost), state = host.agree((numbers, state))
    if folder is None:
        prompts = itertools.islice(prompts, int(count), None)
    elif counts:
        note(f"{counts.total()} prompts are done already")
    return _Start(prompts, counts, states.on_host(state), lost, int(num_lost))


def _make_again(
    options: RunOptions,
    work: runs.Work,
    start: _Start,
    fresh: PyTree,
    folder: runs.RunFolder | None,
    host: runs.Host,
) -> None:
    """Make the clips again that are missing or damaged; all hosts search together."""
    for number in range(start.num_lost):
        place, before = (np.int32(0), np.int32(0)), fresh
        with as_cli_error():
            if folder is not None:
                record, data = start.lost[number]
                place = np.int32(record.row), np.int32(record.best)
                before = states.after(data, fresh)
                note(f"the clip of row {record.row} is missing or damaged: made again")
            (row, best), before = host.agree((place, before))
            prompt = next(each for each in _prompts(options) if each.index == row)
            before = states.on_host(before)
            runs.make_clip_again(work, prompt, int(best), before, folder)


def _consume(
    found: Iterator[runs.Record], counts: Counter[str], total: int, quiet: bool
) -> None:
    """Draw records out of the search, and show how far it is."""
    failed = counts.total() - counts[DONE]
    with prompt_bar(total, counts.total(), failed, quiet) as advance:
        for record in found:
            counts[record.status] += 1
            advance(record)


@contextlib.contextmanager
def saying_what_is_safe(counts: Counter[str]) -> Iterator[None]:
    """Say with an interruption or a full disk how many prompts are done.

    Args:
        counts: of records by status, kept up to date.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {_safe(counts)}") from None
    except runs.LostFolderError as error:
        raise CliError(str(error), FAILED) from error
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        reason = f"{error.strerror or error}{where}"
        raise CliError(f"{reason}; {_safe(counts)}", FAILED) from error


def _safe(counts: Counter[str]) -> str:
    return f"{counts.total()} prompts are safe, the same command goes on from there"


def finish(
    options: RunOptions | SelectOptions,
    chosen: aggregators.Chosen,
    folder: runs.RunFolder,
    counts: Counter[str],
) -> None:
    """Write config.toml and the report, and print where all is."""
    from avits_jax.report import write_run_report

    folder.check_mine()
    with stage("Writing the report", "Wrote the report"), as_cli_error():
        config = set_fields(options, without=("out", "config", *_DEVICE_FLAGS)) | {
            "weights": list(chosen.weights),
            "optimizer": chosen.parameters.get("optimizer"),
        }
        write_text(folder.path / "config.toml", write_config(config))
        page = write_run_report(folder.path)
        folder.publish("config.toml", page.name)
    rewards = RECORDS if address_of(options.out) is None else Path(RECORDS).stem
    print(f"{summary_line(counts)}\nclips      {inside(options.out, CLIPS)}")
    print(f"rewards    {inside(options.out, rewards)}")
    print(f"report     {inside(options.out, page.name)}")


def summary_line(counts: Counter[str]) -> str:
    """Return how many prompts are done, and how many failed in which way."""
    parts = [f"{counts[DONE]} done"]
    if counts[REFUSED]:
        parts.append(f"{counts[REFUSED]} refused by a model")
    if counts[NO_CANDIDATE]:
        parts.append(f"{counts[NO_CANDIDATE]} with no usable candidate")
    return f"{counts.total()} prompts: {', '.join(parts)}"
