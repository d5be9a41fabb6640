"""Search for one prompt after another, with the state that the last one left."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from avits_jax.aggregation.checks import count_outliers
from avits_jax.media import Prompt
from avits_jax.runs import states
from avits_jax.runs.folder import RunFolder
from avits_jax.runs.program import Found, PromptError, Refined, Work
from avits_jax.runs.records import (
    DONE,
    FAILED,
    REFUSED,
    Record,
    RefinedRows,
    read_records,
)
from avits_jax.types import Media, PyTree

T = TypeVar("T")


def same(value: T) -> T:
    """Return ``value``: what one host alone agrees on."""
    return value


class Host(NamedTuple):
    """This process among those that work on the same run in step.

    Attributes:
        writer: whether this process writes the run folder; one does.
        agree: returns the writer's value on every process.
    """

    writer: bool = True
    agree: Callable[[Any], Any] = same


ALONE = Host()


def search_prompts(
    work: Work,
    prompts: Iterable[Prompt],
    state: PyTree,
    folder: RunFolder | None,
) -> Iterator[Record]:
    """Search for each prompt, write its clip and record, and yield the record.

    Args:
        work: what to do.
        prompts: those that have no record yet.
        state: the aggregator's state after the prompt before.
        folder: the run folder; None writes nothing (another host does).

    Raises:
        OSError: the disk is full; everything yielded is safe.
        LostFolderError: the folder was deleted, or made anew by another process.
    """
    for prompt in prompts:
        started = time.perf_counter()
        record, found = _search_one(work, prompt, state)
        if found is not None:
            state = found.output.aggregator_state
        if folder is not None:
            if found is not None and record.status == DONE:
                record = _write_clip(work, folder, record, found.output.best)
            folder.append(record, time.perf_counter() - started)
        yield record


def make_clip_again(
    work: Work, prompt: Prompt, best: int, state: PyTree, folder: RunFolder | None
) -> None:
    """Search again for a prompt that is done, and write the chosen clip.

    Args:
        work: what to do.
        prompt: the prompt.
        best: the candidate that was chosen.
        state: the aggregator's state before it.
        folder: the run folder; None writes nothing (another host does).

    Raises:
        ValueError: this machine or its versions choose another candidate.
        OSError: the disk is full.
    """
    record, found = _search_one(work, prompt, state)
    if found is None or record.best != best:
        raise ValueError(
            f"the clip of row {prompt.index} is lost and cannot be made again: the run "
            f"chose candidate {best}, this machine {record.best}; put the clip back"
        )
    if folder is None:
        return
    again = _write_clip(work, folder, record, found.output.best)
    kept = next(r for r in read_records(folder.path) if r.row == record.row)
    if kept.clip_crc not in (None, again.clip_crc):
        # Another version wrote it with other bytes.
        folder.put_record(dataclasses.replace(kept, clip_crc=again.clip_crc))


def _search_one(
    work: Work, prompt: Prompt, state: PyTree
) -> tuple[Record, Found | None]:
    try:
        cond = work.encode(prompt.text)
    except PromptError as error:
        return _refused(work, prompt, state, str(error)), None
    found = work.search(prompt.index, cond, state)
    output = found.output
    succeeded = bool(output.best_index >= 0)
    record = Record(
        row=prompt.index,
        prompt=prompt.text,
        status=DONE if succeeded else FAILED,
        reason=None if succeeded else blame(work.names, found),
        best=int(output.best_index),
        rewards=np.asarray(output.rewards, np.float32),
        judged=np.asarray(found.judged, np.float32),
        sigmas=tuple(work.sigmas(output.aggregator_state)),
        nfe=int(output.nfe),
        decodes=int(output.decodes),
        verifier_calls=int(output.verifier_calls),
        state=states.pack(output.aggregator_state),
        refined=None if found.refined is None else _refined_rows(found.refined),
    )
    return record, found


def _refined_rows(refined: Refined) -> RefinedRows:
    """Return what a record says of the candidates that were refined."""
    there = np.asarray(refined.output.kept) >= 0
    return RefinedRows(
        kept=tuple(refined.output.kept[there].tolist()),
        rewards=np.asarray(refined.output.rewards[there], np.float32),
        judged=np.asarray(refined.judged[there], np.float32),
    )


def _refused(work: Work, prompt: Prompt, state: PyTree, reason: str) -> Record:
    nothing = np.zeros((0, 0), np.float32)
    return Record(
        row=prompt.index,
        prompt=prompt.text,
        status=REFUSED,
        reason=reason,
        best=-1,
        rewards=nothing,
        judged=nothing,
        sigmas=tuple(work.sigmas(state)),
        nfe=0,
        decodes=0,
        verifier_calls=0,
        state=states.pack(state),
    )


def blame(names: Sequence[str], found: Found) -> str:
    """Say why every candidate failed: the generator, or which verifiers.

    Args:
        names: of the verifiers that guide.
        found: what a search found, whose ``best_index`` is -1.
    """
    refined = found.refined
    if refined is not None and (refined.output.kept >= 0).any():
        there = np.asarray(refined.output.kept) >= 0
        rewards = np.asarray(refined.output.rewards)
        broken = np.asarray(refined.broken)
        return _blame("refined clips", names, rewards, there, broken)
    rewards, drawn = np.asarray(found.output.rewards), np.asarray(found.output.valid)
    return _blame("candidates", names, rewards, drawn, np.asarray(found.broken))


def _blame(
    what: str,
    names: Sequence[str],
    rewards: Float[np.ndarray, "N V"],
    drawn: Bool[np.ndarray, " N"],
    broken: Bool[np.ndarray, " N"],
) -> str:
    whole = drawn & ~broken
    total, num_broken = int(drawn.sum()), int((drawn & ~whole).sum())
    culprits = {"the generator": num_broken} if num_broken else {}
    bad = np.sum(~np.isfinite(rewards[whole]), axis=0).tolist()
    culprits |= {name: n for name, n in zip(names, bad, strict=True) if n}
    parts = [f"{who} gave NaN or infinity for {n}" for who, n in culprits.items()]
    outliers = count_outliers(jnp.asarray(rewards)).tolist()
    large = zip(names, outliers, strict=True)
    parts += [f"{name} gave a number too large for {n}" for name, n in large if n]
    return f"all {total} {what} failed: {'; '.join(parts)}"


def _write_clip(work: Work, folder: RunFolder, record: Record, clip: Media) -> Record:
    """Write the clip; return the record, as failed if the clip is no clip."""
    try:
        crc = folder.write_clip(
            record.row, clip, fps=work.fps, sample_rate=work.sample_rate
        )
    except ValueError as error:
        reason = f"the chosen clip cannot be written: {error}"
        return dataclasses.replace(record, status=FAILED, reason=reason, best=-1)
    return dataclasses.replace(record, clip_crc=crc)
