"""Choose among clips whose rewards are known, prompt by prompt."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avits_jax.runs import states
from avits_jax.runs.records import DONE, FAILED, Record
from avits_jax.search.evaluate import winner
from avits_jax.types import Aggregator, PyTree

_NAMED = 3  # clips whose fault is told


class Scored(NamedTuple):
    """What verifiers say of a prompt's clips.

    Attributes:
        names: of the clips, for messages.
        rewards: ``[N, V]`` of the verifiers that guide; NaN where there is none.
        judged: ``[N, J]`` of those that only watch.
        reasons: why a clip has not all rewards; None where it has.
    """

    names: tuple[str, ...]
    rewards: Float[np.ndarray, "N V"]
    judged: Float[np.ndarray, "N J"]
    reasons: tuple[str | None, ...]


def make_chooser(
    aggregator: Aggregator, sigmas: Callable[[PyTree], Sequence[float | None]]
) -> Callable[[int, str, Scored, PyTree], tuple[Record, PyTree]]:
    """Return a function that chooses a prompt's clip and learns from its rewards.

    It chooses what `best_of_n` would have with these candidates.

    Args:
        aggregator: turns rewards into scores.
        sigmas: ``state -> [V]`` learned deviations, None where there is none.

    Returns:
        ``(row, prompt, scored, state) -> (record, state)``; the record says why clips
        take no part. Calls of verifiers are those that gave a number.
    """

    @jax.jit
    def choose(rewards: jax.Array, state: PyTree) -> tuple[jax.Array, PyTree]:
        scores, state = aggregator.update(rewards, state)
        return winner(aggregator, rewards, scores, state)[1], state

    def chosen(
        row: int, prompt: str, scored: Scored, state: PyTree
    ) -> tuple[Record, PyTree]:
        index, learned = choose(jnp.asarray(scored.rewards, jnp.float32), state)
        best, learned = int(index), states.on_host(learned)
        record = Record(
            row=row,
            prompt=prompt,
            status=DONE if best >= 0 else FAILED,
            reason=_faults(scored) if best >= 0 else _blame(scored),
            best=best,
            rewards=scored.rewards.astype(np.float32),
            judged=scored.judged.astype(np.float32),
            sigmas=tuple(sigmas(learned)),
            nfe=0,
            decodes=0,
            verifier_calls=int(np.isfinite(scored.rewards).sum()),
            state=states.pack(learned),
        )
        return record, learned

    return chosen


def _faults(scored: Scored) -> str | None:
    """Say which clips have not all rewards, and why; None where all have."""
    told = [
        f"{name}: {reason}"
        for name, reason in zip(scored.names, scored.reasons, strict=True)
        if reason
    ]
    return "; ".join(told) or None


def _blame(scored: Scored) -> str:
    told = [
        f"{name}: {reason or 'a reward is too large to learn from'}"
        for name, reason in zip(scored.names, scored.reasons, strict=True)
    ]
    more = len(told) - _NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return f"no clip is usable: {'; '.join(told[:_NAMED])}{rest}"
