"""Many prompts in code, as ``avits run`` does them: resumable, with judges."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from avits_jax.media import Prompt
from avits_jax.runs import states
from avits_jax.runs.facts import run_facts
from avits_jax.runs.folder import Lost, RunFolder
from avits_jax.runs.loop import make_clip_again, search_prompts
from avits_jax.runs.program import Work
from avits_jax.runs.records import Record
from avits_jax.runs.rows import resume


def search_many(
    work: Work,
    prompts: Iterable[str],
    out: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    text_ahead: int = 1,
) -> Iterator[Record]:
    """Search for every prompt; keep chosen clips and all rewards in a folder.

    Killed at any moment, the same call goes on where it was. What the aggregator learns
    goes from prompt to prompt.

    Args:
        work: of `make_work`.
        prompts: texts in a fixed order; may be an endless or lazy one.
        out: the run folder to write, or to go on with.
        settings: JSON values that tell this run from others (sizes, seed, names of
            models); a folder that other ones made is refused.
        text_ahead: prompts that are encoded before the first of them is searched for; a
            text tower goes to the device once for all. No result depends on it.

    Yields:
        The record of each prompt that this call has done; `read_records` reads all.

    Raises:
        ValueError: the folder is of other settings or prompts, is damaged, or is
            written to by another process.
        LostFolderError: the folder was deleted, or made anew by another process.
        OSError: the disk is full; everything yielded is safe.

    Example:
        >>> work = runs.make_work(
        ...     functools.partial(avits.best_of_n, num_candidates=16),
        ...     avits.Params(params, verifier_params), jax.random.key(0),
        ...     generator=generator, verifiers=verifiers[:2], judges=verifiers[2:],
        ...     aggregator=avits.arw([0.5, 0.5]))
        >>> for record in runs.search_many(work, prompts, "runs/mine"):
        ...     print(record.prompt, record.best, record.judged.mean())
    """
    own = {"verifiers": list(work.names), "judges": list(work.judges)}
    facts = run_facts(
        work.names, work.judges, work.state, own | dict(settings or {}), "given in code"
    )
    rows = (Prompt(index, text) for index, text in enumerate(prompts))
    with RunFolder(out, facts) as folder:
        lost: list[Lost] = []
        left, _, data = resume(rows, folder.take_up(lost), "prompts")
        for record, before in lost:
            prompt = Prompt(record.row, record.prompt)
            state = states.after(before, work.state)
            make_clip_again(work, prompt, record.best, state, folder)
        state = states.after(data, work.state)
        yield from search_prompts(work, left, state, folder, text_ahead)
