"""One session of ``avits select``: score every clip, choose, copy, finish."""

import contextlib
import csv
import dataclasses
import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from avits_jax import runs
from avits_jax.catalogue.generators import Family
from avits_jax.cli import aggregators, program
from avits_jax.cli.backend import PAPER_VERIFIERS
from avits_jax.cli.checks import check_store_writable
from avits_jax.cli.clips import Item
from avits_jax.cli.config import set_fields
from avits_jax.cli.errors import CliError, as_cli_error, status_of
from avits_jax.cli.groups import Group, digest
from avits_jax.cli.labels import tell_labels
from avits_jax.cli.options import SelectOptions
from avits_jax.cli.run_progress import note, prompt_bar
from avits_jax.cli.session import (
    finish,
    first_state,
    open_run,
    saying_what_is_safe,
    start_facts,
)
from avits_jax.cli.verifying import Jury
from avits_jax.files.stores import inside, open_store
from avits_jax.media import Prompt, write_text
from avits_jax.runs import states
from avits_jax.runs.choosing import Scored, make_chooser
from avits_jax.runs.facts import run_facts
from avits_jax.runs.records import DONE, FAILED
from avits_jax.types import PyTree

SCORES = "scores.csv"
# What may differ between two sessions: no prompt's result depends on it.
_FREE = (
    *("clips", "prompt", "clip_column", "prompt_column", "link"),
    *("out", "config", "compilation_cache", "start"),
)
_TOLD = 3  # clips that are told of one by one


def select(
    options: SelectOptions, groups: Sequence[Group], families: Sequence[Family]
) -> int:
    """Choose a clip for every prompt that has no record; return the exit status.

    Args:
        options: of the command, checked.
        groups: prompts and their clips.
        families: the table of generators.

    Raises:
        CliError: bad input, or work that failed; what was done is safe.
    """
    program.use_compilation_cache(options.compilation_cache)
    chosen = aggregators.choose_aggregator(options)
    fresh = first_state(options, chosen)
    jury = Jury(options, options.everyone, families)
    tell_labels(jury.random, jury.notices)
    _check_prompts(groups, jury)
    store = open_store(options.out)
    if store is not None:
        check_store_writable(store)
    with contextlib.ExitStack() as stack:
        facts = _facts(options, chosen, groups, jury, fresh)
        folder = stack.enter_context(open_run(options, facts))
        left, counts, state = _start(options, groups, folder, fresh)
        stack.enter_context(saying_what_is_safe(counts))
        folder.put_rows({"count": len(groups), "digest": digest(groups)})
        session = _Session(options, groups, jury, folder)
        with prompt_bar(len(groups), counts.total(), counts.total() - counts[DONE]) as (
            advance
        ):
            for record in session.choose(chosen, left, state):
                counts[record.status] += 1
                advance(record)
        write_text(folder.path / SCORES, _scores(options, groups, folder))
        folder.publish(SCORES)
        finish(options, chosen, folder, counts)
        print(f"scores     {inside(options.out, SCORES)}")
    return status_of(counts.total(), counts.total() - counts[DONE])


def _facts(
    options: SelectOptions,
    chosen: aggregators.Chosen,
    groups: Sequence[Group],
    jury: Jury,
    fresh: PyTree,
) -> dict[str, object]:
    """Return what run.json says."""
    settings = set_fields(options, without=_FREE) | {
        "search": "select",
        "clips": digest(groups),
        # Without a verifier of mini's no model sees the clips.
        "model": options.model if jury.fitted else None,
        "random_weights": options.random_weights or None,
        "weights": list(chosen.weights),
        "optimizer": chosen.parameters.get("optimizer"),
        "checkpoints": list(jury.checkpoints),
    }
    settings |= start_facts(options, fresh)
    prompts = "of the clips that were given"
    made = run_facts(options.verifiers, options.judges, fresh, settings, prompts)
    labels = {"random_weights": list(jury.random), "notices": list(jury.notices)}
    return made | labels


def _start(
    options: SelectOptions,
    groups: Sequence[Group],
    folder: runs.RunFolder,
    fresh: PyTree,
) -> tuple[Iterator[Prompt], Counter[str], PyTree]:
    """Find out which prompts are done; copy the clips again that are missing."""
    lost: list[runs.Lost] = []
    prompts = (Prompt(row, group.prompt) for row, group in enumerate(groups))
    with as_cli_error():
        left, counts, data = runs.resume(prompts, folder.take_up(lost), "the list")
        for record, _ in lost:
            clip = groups[record.row].clips[record.best]
            link, crc = options.link, record.clip_crc
            folder.keep_clip(record.row, clip, link=link, crc=crc)
    if counts:
        note(f"{counts.total()} prompts are done already")
    return left, counts, states.after(data, fresh)


def _check_prompts(groups: Sequence[Group], jury: Jury) -> None:
    """Raise CliError if no prompt is one that the verifiers understand."""
    for group in groups:
        try:
            jury.check_prompt(group.prompt)
            return
        except CliError as error:
            refusal = error
    raise CliError(f"{refusal}; or name other verifiers: --verifiers {PAPER_VERIFIERS}")


class _Session:
    """Scores and chooses, group by group."""

    def __init__(
        self,
        options: SelectOptions,
        groups: Sequence[Group],
        jury: Jury,
        folder: runs.RunFolder,
    ) -> None:
        self._options, self._groups = options, groups
        self._jury, self._folder = jury, folder
        self._told = 0

    def choose(
        self, chosen: aggregators.Chosen, left: Iterator[Prompt], state: PyTree
    ) -> Iterator[runs.Record]:
        """Yield the record of each prompt when it and its clip are safe."""
        choose = make_chooser(
            chosen.aggregator, lambda s: aggregators.learned_sigmas(chosen, s)
        )
        for prompt in left:
            started = time.perf_counter()
            group = self._groups[prompt.index]
            record, state = choose(
                prompt.index, group.prompt, self._score(group), state
            )
            record = self._kept(group, record)
            self._folder.append(record, time.perf_counter() - started)
            yield record

    def _score(self, group: Group) -> Scored:
        rewards, reasons = [], []
        refusal = self._refusal(group.prompt)
        for clip in group.clips:
            if refusal is None:
                row, reason = self._judge(Item(clip, group.prompt))
            else:
                row, reason = [np.nan] * len(self._jury.names), refusal
            rewards.append(row)
            reasons.append(reason)
        table, count = np.array(rewards, np.float32), len(self._options.verifiers)
        names = tuple(str(clip) for clip in group.clips)
        return Scored(names, table[:, :count], table[:, count:], tuple(reasons))

    def _refusal(self, prompt: str) -> str | None:
        try:
            self._jury.check_prompt(prompt)
        except CliError as error:
            return str(error)
        return None

    def _judge(self, item: Item) -> tuple[list[float], str | None]:
        try:
            judgement = self._jury.judge(item)
        except CliError as error:
            row: list[float] = [np.nan] * len(self._jury.names)
            reason: str | None = str(error)
        else:
            found = judgement.rewards.values()
            row = [np.nan if reward is None else reward for reward in found]
            reason = judgement.reason
        if reason is not None:
            self._tell(f"{item.clip}: {reason}")
        return row, reason

    def _tell(self, text: str) -> None:
        self._told += 1
        if self._told <= _TOLD:
            rest = f" (further ones: {SCORES})" if self._told == _TOLD else ""
            note(f"{text}{rest}")

    def _kept(self, group: Group, record: runs.Record) -> runs.Record:
        """Copy the chosen clip; return the record, as failed if that cannot be."""
        if record.best < 0:
            return record
        source, link = group.clips[record.best], self._options.link
        try:
            crc = self._folder.keep_clip(record.row, source, link=link)
        except ValueError as error:
            return dataclasses.replace(
                record, status=FAILED, reason=str(error), best=-1
            )
        return dataclasses.replace(record, clip_crc=crc)


def _scores(
    options: SelectOptions, groups: Sequence[Group], folder: runs.RunFolder
) -> str:
    """Return every clip's rewards as CSV, empty where there is none."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    header = ["row", "prompt", "clip", "chosen", *options.everyone, "reason"]
    rows.writerow(header)
    for record in runs.read_records(folder.path):
        table = np.concatenate([record.rewards, record.judged], axis=1)
        group = groups[record.row]
        for index, (clip, rewards) in enumerate(zip(group.clips, table, strict=True)):
            numbers = ["" if not np.isfinite(r) else str(r) for r in rewards]
            chosen = int(index == record.best)
            reason = record.reason if "" in numbers else ""
            rows.writerow([record.row, group.prompt, clip, chosen, *numbers, reason])
    return text.getvalue()
