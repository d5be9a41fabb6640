"""Rewards of several verifiers, side by side."""

from collections.abc import Sequence

import jax.numpy as jnp

from avits_jax.sampling.steps import at_least_float32
from avits_jax.search.contracts import ONE_PROMPT, one_prompt
from avits_jax.types import Media, PyTree, Rewards, Scores, SharedPass, Verifier


def stacked_rewards(
    verifiers: Sequence[Verifier],
    params: Sequence[PyTree],
    media: Media,
    conds: Sequence[PyTree],
) -> Rewards:
    """Return what all verifiers say of clips; a pass that several share runs once.

    Args:
        verifiers: in the order of the columns.
        params: weights of each. Of verifiers that share a pass, the first one's count.
        media: ``[N, ...]`` clips.
        conds: the encoded prompt of each, likewise.

    Returns:
        ``[N, V]`` rewards in at least float32.

    Raises:
        ValueError: a verifier does not return one reward per candidate, or its shared
            pass lacks its output.
    """
    passes: dict[SharedPass, dict[str, Scores]] = {}
    columns = []
    for verifier, weights, cond in zip(verifiers, params, conds, strict=True):
        shared = verifier.shared_pass
        with one_prompt(f"verifier {verifier.name!r}"):
            if shared is None:
                column = verifier.score(weights, media, cond)
            elif shared not in passes:
                passes[shared] = shared.rewards(weights, media, cond)
        if shared is not None:
            column = _output(verifier, passes[shared])
        columns.append(_checked(verifier.name, column, media.video.shape[:1]))
    dtype = max((column.dtype for column in columns), key=lambda d: d.itemsize)
    return jnp.stack([column.astype(dtype) for column in columns], axis=1)


def _output(verifier: Verifier, rewards: dict[str, Scores]) -> Scores:
    if verifier.output not in rewards:
        raise ValueError(
            f"verifier {verifier.name!r} reads output {verifier.output!r}, but its "
            f"shared pass gives {sorted(rewards)}"
        )
    return rewards[verifier.output]


def _checked(name: str, column: Scores, wanted: tuple[int, ...]) -> Scores:
    column = jnp.asarray(column)
    if column.shape != wanted:
        raise ValueError(
            f"verifier {name!r} must return one reward per candidate, shape {wanted}, "
            f"got {column.shape} ({ONE_PROMPT})"
        )
    return column.astype(at_least_float32(column.dtype))
