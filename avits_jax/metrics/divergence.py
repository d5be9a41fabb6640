"""Divergences of class predictions: KL and inception score; on the host, in float64.

Upstream: hkchengrex/av-benchmark at 050a5cd, av_bench/metrics/kl.py and isc.py (from
audioldm_eval).
"""

import numpy as np
from jaxtyping import Float
from scipy.special import log_expit, log_softmax, logsumexp

SPLITS = 10
SEED = 2020


def softmax_divergence(
    real: Float[np.ndarray, "N C"], generated: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, " N"]:
    """Return KL(real || generated) of each pair of clips, over a softmax of classes.

    av-benchmark's KL is the mean of it.

    Args:
        real: logits of the real clips.
        generated: logits of the generated clips, in the same order.

    Returns:
        One divergence per pair, in nats, at least 0; lower is better.

    Raises:
        ValueError: the two are not of one shape.
    """
    real, generated = _checked(real, generated)
    return _divergence(log_softmax(real, axis=1), log_softmax(generated, axis=1))


def sigmoid_divergence(
    real: Float[np.ndarray, "N C"], generated: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, " N"]:
    """Return each pair's sum of ``s(real) log(s(real) / s(generated))``.

    s is the logistic function. This is no whole divergence of independent classes,
    since what is said of a class being absent does not count; av-benchmark computes it
    and reports `softmax_divergence`.

    Args:
        real: logits of the real clips.
        generated: logits of the generated clips, in the same order.

    Raises:
        ValueError: the two are not of one shape.
    """
    real, generated = _checked(real, generated)
    return _divergence(log_expit(real), log_expit(generated))


def inception_score(
    logits: Float[np.ndarray, "N C"], *, splits: int = SPLITS, seed: int = SEED
) -> tuple[float, float]:
    """Return mean and deviation of the inception score over splits of the clips.

    Of each split, the exponential of the mean divergence of its predictions from their
    mean. Rows are shuffled by `numpy.random.RandomState`.

    Args:
        logits: class logits, one row per generated clip; higher scores are better.
        splits: how many; the published figures have 10.
        seed: of the shuffling; the published figures have 2020.

    Returns:
        Mean and population deviation; NaN for fewer rows than splits, one of which is
        then empty.

    Raises:
        ValueError: ``logits`` is not [clips, classes].
    """
    _check_logits("logits", logits)
    if len(logits) < splits:
        return float("nan"), float("nan")
    order = np.random.RandomState(seed).permutation(len(logits))
    log_rows = log_softmax(logits.astype(np.float64)[order], axis=1)
    edges = [part * len(logits) // splits for part in range(splits + 1)]
    found = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        part = log_rows[start:stop]
        mean = logsumexp(part, axis=0, keepdims=True) - np.log(len(part))
        found.append(np.exp(_divergence(part, mean).mean()))
    return float(np.mean(found)), float(np.std(found))


def _divergence(log_target: np.ndarray, log_input: np.ndarray) -> np.ndarray:
    return (np.exp(log_target) * (log_target - log_input)).sum(axis=1)


def _checked(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _check_logits("real", real)
    if generated.shape != real.shape:
        raise ValueError(
            f"generated must have the shape of real, {real.shape}, got "
            f"{generated.shape}"
        )
    return real.astype(np.float64), generated.astype(np.float64)


def _check_logits(name: str, logits: np.ndarray) -> None:
    if logits.ndim != 2:
        raise ValueError(f"{name} must be [clips, classes], got shape {logits.shape}")
