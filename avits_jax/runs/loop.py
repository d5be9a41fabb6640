"""Search for one prompt after another, with the state that the last one left."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float

from avits_jax.media import Prompt
from avits_jax.runs import states
from avits_jax.runs.folder import RunFolder
from avits_jax.runs.records import DONE, FAILED, REFUSED, Record
from avits_jax.types import Media, PyTree

T = TypeVar("T")


class PromptError(ValueError):
    """A prompt that a model does not take; the run goes on with the next."""


class Found(NamedTuple):
    """What the search found for one prompt, as NumPy arrays.

    Attributes:
        best: the chosen clip, without candidate axis.
        best_index: -1 where every candidate failed.
        rewards: of the verifiers that guide.
        judged: of those that only watch.
        broken: whose latents hold NaN or infinity: the generator's fault.
        state: the aggregator's, the next prompt's input.
        nfe: network evaluations.
        decodes: decoder passes.
        verifier_calls: candidates scored, times the number of verifiers.
    """

    best: Media
    best_index: int
    rewards: Float[np.ndarray, "N V"]
    judged: Float[np.ndarray, "N J"]
    broken: Bool[np.ndarray, " N"]
    state: PyTree
    nfe: int
    decodes: int
    verifier_calls: int


class Work(NamedTuple):
    """What a run does with a prompt; made once, so that it is one compiled program.

    Attributes:
        encode: ``text -> cond``; raises `PromptError`.
        prepare: compiles the program for such a ``cond``.
        search: ``(row, cond, state) -> Found``.
        sigmas: ``state -> [V]`` learned deviations, None where there is none.
        state: what the first prompt starts from, see `states.on_host`.
        names: of the verifiers that guide.
        fps: pictures per second of a clip.
        sample_rate: Hz of its sound.
        plan: sizes of the search, as JSON values.
        random: models whose weights are drawn, and mean nothing.
        notices: what the user must know of licences.
    """

    encode: Callable[[str], Any]
    prepare: Callable[[Any], None]
    search: Callable[[int, Any, PyTree], Found]
    sigmas: Callable[[PyTree], Sequence[float | None]]
    state: PyTree
    names: tuple[str, ...]
    fps: float
    sample_rate: int
    plan: dict[str, Any]
    random: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


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
    """
    for prompt in prompts:
        started = time.perf_counter()
        record, found = _search_one(work, prompt, state)
        if found is not None:
            state = found.state
        if folder is not None:
            if found is not None and found.best_index >= 0:
                record = _write_clip(work, folder, record, found.best)
            folder.append(record, time.perf_counter() - started)
        yield record


def _search_one(
    work: Work, prompt: Prompt, state: PyTree
) -> tuple[Record, Found | None]:
    try:
        cond = work.encode(prompt.text)
    except PromptError as error:
        return _refused(work, prompt, state, str(error)), None
    found = work.search(prompt.index, cond, state)
    succeeded = found.best_index >= 0
    record = Record(
        row=prompt.index,
        prompt=prompt.text,
        status=DONE if succeeded else FAILED,
        reason=None if succeeded else _blame(work.names, found),
        best=found.best_index,
        rewards=found.rewards,
        judged=found.judged,
        sigmas=tuple(work.sigmas(found.state)),
        nfe=found.nfe,
        decodes=found.decodes,
        verifier_calls=found.verifier_calls,
        state=states.pack(found.state),
    )
    return record, found


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


def _blame(names: Sequence[str], found: Found) -> str:
    """Say who gave no finite numbers, and how often: the generator, or verifiers."""
    total = len(found.rewards)
    broken = int(found.broken.sum())
    parts = [f"the generator gave NaN or infinity for {broken} of {total}"]
    bad = np.sum(~np.isfinite(found.rewards[~found.broken]), axis=0)
    parts += [
        f"{name} gave NaN or infinity for {count} of {total}"
        for name, count in zip(names, bad, strict=True)
        if count
    ]
    return f"every candidate failed: {'; '.join(parts[not broken :])}"


def _write_clip(work: Work, folder: RunFolder, record: Record, clip: Media) -> Record:
    """Write the clip; return the record, as failed if the clip is no clip."""
    try:
        folder.write_clip(record.row, clip, fps=work.fps, sample_rate=work.sample_rate)
    except ValueError as error:
        reason = f"the chosen clip cannot be written: {error}"
        return dataclasses.replace(record, status=FAILED, reason=reason, best=-1)
    return record
