"""Search for one prompt after another, with the state that the last one left."""

import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from avits_jax.aggregation.checks import count_outliers
from avits_jax.media import Prompt, picture_mark, read_image
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
    text_ahead: int = 1,
) -> Iterator[Record]:
    """Search for each prompt, write its clip and record, and yield the record.

    Args:
        work: what to do.
        prompts: those that have no record yet.
        state: the aggregator's state after the prompt before.
        folder: the run folder; None writes nothing (another host does).
        text_ahead: prompts that are encoded one after the other, before their searches;
            a text tower goes to the device once for all of them.

    Raises:
        OSError: the disk is full; everything yielded is safe.
        LostFolderError: the folder was deleted, or made anew by another process.
    """
    for prompt, cond, seconds in _encoded(work, prompts, text_ahead):
        started = time.perf_counter() - seconds
        record, found = _search_one(work, prompt, cond, state)
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
    cond = _encode(work, prompt)
    record, found = _search_one(work, prompt, cond, state)
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


def _encoded(
    work: Work, prompts: Iterable[Prompt], ahead: int
) -> Iterator[tuple[Prompt, Any, float]]:
    """Yield prompts with condition or `PromptError`, and the seconds that it took.

    So many are encoded before the first of them is yielded.
    """
    left = iter(prompts)
    while some := deque(itertools.islice(left, ahead)):
        done = deque[tuple[Any, float]]()
        with work.text_on_device():
            for prompt in some:
                started = time.perf_counter()
                done.append((_encode(work, prompt), time.perf_counter() - started))
        while some:  # a prompt that is searched for is kept no longer
            yield some.popleft(), *done.popleft()


def _encode(work: Work, prompt: Prompt) -> Any:
    try:
        return encode_row(work, prompt)
    except PromptError as error:
        return error


def _search_one(
    work: Work, prompt: Prompt, cond: Any, state: PyTree
) -> tuple[Record, Found | None]:
    if isinstance(cond, PromptError):
        return _refused(work, prompt, state, str(cond)), None
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
        image=_mark(prompt),
    )
    return record, found


def encode_row(work: Work, prompt: Prompt) -> PyTree:
    """Encode a prompt, and the picture that its clips shall begin with.

    Args:
        work: what to do.
        prompt: the prompt.

    Raises:
        PromptError: a model does not take it.
        OSError: its picture cannot be read.
        ValueError: it has a picture, and the model takes none.
    """
    cond = work.encode(prompt.text)
    if prompt.image is None:
        return cond
    if work.with_image is None:
        raise ValueError(f"row {prompt.index} has a picture, the model takes none")
    try:
        picture = read_image(prompt.image)
    except ValueError as error:
        raise OSError(str(error)) from error
    return work.with_image(cond, picture)


def _mark(prompt: Prompt) -> str | None:
    return None if prompt.image is None else picture_mark(prompt.image)


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
        image=_mark(prompt),
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
