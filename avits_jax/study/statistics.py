"""What winners are worth, and how verifiers and selections relate."""

import numpy as np
from jaxtyping import Bool, Float, Int

from avits_jax.study.rescoring import NOBODY, usable

Table = Float[np.ndarray, "P N V"]
OfPrompts = Float[np.ndarray, "P V"]


def winner_rewards(rewards: Table, winners: Int[np.ndarray, " P"]) -> OfPrompts:
    """Return the rewards of each prompt's winner.

    Args:
        rewards: ``[P, N, V]`` raw rewards.
        winners: ``[P]`` candidates; NaN is returned for -1.
    """
    chosen = np.take_along_axis(rewards, winners[:, None, None], axis=1)[:, 0]
    return np.where(winners[:, None] == NOBODY, np.nan, chosen).astype(float)


def mean_rewards(rewards: Table) -> OfPrompts:
    """Return the expected rewards of one sample: the mean of the usable candidates.

    Args:
        rewards: ``[P, N, V]``; NaN is returned for a prompt without a usable candidate.
    """
    return _over_usable(rewards, np.asarray(rewards, float))


def best_rewards(rewards: Table) -> OfPrompts:
    """Return each verifier's highest reward among the usable candidates.

    Args:
        rewards: ``[P, N, V]``; NaN is returned for a prompt without a usable candidate.
    """
    there = usable(rewards)
    best = np.where(there[..., None], rewards, -np.inf).max(axis=1)
    return np.where(there.any(axis=1, keepdims=True), best, np.nan).astype(float)


def advantages(rewards: Table, winners: Int[np.ndarray, " P"]) -> OfPrompts:
    """Return how much better each winner is than the mean usable candidate.

    Exactly zero where a verifier gives all candidates the same reward.

    Args:
        rewards: ``[P, N, V]`` raw rewards.
        winners: ``[P]`` candidates; NaN is returned for -1.
    """
    chosen = winner_rewards(rewards, winners)
    return _over_usable(rewards, chosen[:, None] - np.asarray(rewards, float))


def none_worse(advantage: OfPrompts) -> Bool[np.ndarray, " P"]:
    """Tell where a winner is at least as good as the mean candidate for everyone.

    Args:
        advantage: ``[P, V]`` of `advantages`; V may be 0, and is then true.
    """
    return np.logical_and.reduce(advantage >= 0, axis=1)


def spearman(rewards: Table) -> Float[np.ndarray, "V V"]:
    """Return rank correlations of verifiers within prompts, averaged over prompts.

    Ties share their mean rank. A pair is counted in prompts where both verifiers tell
    usable candidates apart.

    Args:
        rewards: ``[P, N, V]`` raw rewards.

    Returns:
        ``[V, V]`` in [-1, 1]; NaN for a pair that no prompt has.
    """
    count = rewards.shape[-1]
    from scipy.stats import rankdata  # takes as long to import as jax

    total, known = np.zeros((count, count)), np.zeros((count, count), int)
    for table, there in zip(rewards, usable(rewards), strict=True):
        ranks = rankdata(table[there], axis=0)
        ranks = ranks - ranks.mean(axis=0) if len(ranks) else np.zeros((1, count))
        lengths = np.sqrt(np.square(ranks).sum(axis=0))
        varies = np.outer(lengths, lengths) > 0
        total += (ranks.T @ ranks) / np.where(varies, np.outer(lengths, lengths), 1)
        known += varies
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def agreement(winners: Int[np.ndarray, "S P"]) -> Float[np.ndarray, "S S"]:
    """Return the share of prompts in which two selections have the same winner.

    Args:
        winners: ``[S, P]`` candidates; prompts whose winner is -1 are left out.

    Returns:
        ``[S, S]`` in [0, 1]; NaN for a pair without prompts.
    """
    there = winners != NOBODY
    known = np.einsum("sp,tp->st", there.astype(float), there.astype(float))
    same = np.array([((winners == row) & there).sum(axis=1) for row in winners])
    return np.where(known > 0, same / np.maximum(known, 1), np.nan)


def chance_agreement(rewards: Table) -> float:
    """Return how often two selections that choose at random have the same winner.

    Args:
        rewards: ``[P, N, V]``; prompts without a usable candidate are left out.

    Returns:
        The mean of one over the number of usable candidates; NaN without prompts.
    """
    counts = usable(rewards).sum(axis=1)
    counts = counts[counts > 0]
    return float((1 / counts).mean()) if counts.size else float("nan")


def _over_usable(rewards: Table, values: Table) -> OfPrompts:
    """Return the mean of values over usable candidates, NaN where there is none."""
    there = usable(rewards)[..., None]
    total = np.where(there, values, 0.0).sum(axis=1)
    count = there.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
