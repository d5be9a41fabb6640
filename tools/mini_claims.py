"""The paper's claims, each judged by the evidence from mini."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from mini_selections import (
    ARW,
    KNOWN,
    ONE,
    RANK,
    SINGLES,
    SUM,
    Evidence,
    selections,
)

import avits_jax as avits
from avits_jax.mini_world import truth
from avits_jax.study import counts_up_to, interval

_ATTRIBUTES = truth.Verdict._fields
# What a verifier can judge, and what it cannot.
_OWN = {
    "text-video alone": (("color", "shape", "impacts"), ("sound", "lag")),
    "text-audio alone": (("sound", "impacts"), ("color", "shape", "lag")),
    "synchrony alone": (("lag",), ("color", "shape", "sound")),
}


class Claim(NamedTuple):
    """One claim, whether it holds here, and the figures that say so."""

    text: str
    holds: bool
    figures: str


def claims(evidence: Evidence) -> list[Claim]:
    """Judge all claims; N is 16 where none is stated, or all if there are fewer."""
    num = min(16, evidence.rewards.shape[1])
    chosen = selections(evidence, num)
    most = selections(evidence, evidence.rewards.shape[1])
    return [
        *(_own_attribute(evidence, chosen, name) for name in _OWN),
        _beats_singles(evidence, chosen),
        _like_known(evidence, chosen),
        _beats(evidence, chosen, SUM),
        _beats(evidence, chosen, RANK),
        _grows(evidence, chosen, most),
        *(_stops(evidence, chosen, most, name) for name in _OWN),
        _hacked(evidence, chosen),
        _in_company(evidence, chosen),
        _joint_domination(evidence, chosen),
        _cold_start(evidence, num),
    ]


def _points(values) -> str:
    mean, low, high = interval(np.asarray(values, float))
    return f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _own_attribute(evidence, chosen, name) -> Claim:
    gain = evidence.verdicts_of(chosen[name]) - evidence.verdicts_of(chosen[ONE])
    own, foreign = (
        {field: gain[:, _ATTRIBUTES.index(field)] for field in fields}
        for fields in _OWN[name]
    )
    lifted = all(interval(values)[1] > 0 for values in own.values())
    left = any(interval(values)[1] <= 0 for values in foreign.values())
    figures = "; ".join(f"{k} {_points(v)}" for k, v in (own | foreign).items())
    lifts = ", ".join(own)
    return Claim(
        f"{name} lifts {lifts}, and leaves another at or below one sample's level",
        lifted and left,
        figures,
    )


def _beats_singles(evidence, chosen) -> Claim:
    best = max(_OWN, key=lambda name: evidence.right(chosen[name]).mean())
    gain = evidence.right(chosen[ARW]) - evidence.right(chosen[best])
    return Claim(
        "ARW over three beats the best single verifier by more than the interval",
        interval(gain)[1] > 0,
        f"against {best} {_points(gain)}",
    )


def _like_known(evidence, chosen) -> Claim:
    gain = evidence.right(chosen[ARW]) - evidence.right(chosen[KNOWN])
    _, low, high = interval(gain)
    return Claim(
        "ARW, knowing nothing beforehand, is within the interval of z-scores with "
        "the true statistics",
        low <= 0 <= high,
        _points(gain),
    )


def _beats(evidence, chosen, other) -> Claim:
    gain = evidence.right(chosen[ARW]) - evidence.right(chosen[other])
    return Claim(
        f"on the verifiers' own unlike scales ARW beats {other} by more than the "
        "interval",
        interval(gain)[1] > 0,
        _points(gain),
    )


def _grows(evidence, chosen, most) -> Claim:
    rates = [
        evidence.right(selections(evidence, num)[ARW]).mean()
        for num in counts_up_to(evidence.rewards.shape[1])
    ]
    gain = evidence.right(most[ARW]) - evidence.right(chosen[ARW])
    return Claim(
        f"success under ARW grows with N up to {evidence.rewards.shape[1]}",
        bool(np.all(np.diff(rates) > 0)),
        f"{', '.join(f'{100 * rate:.1f}' for rate in rates)}%; from 16 on "
        f"{_points(gain)}",
    )


def _stops(evidence, chosen, most, name) -> Claim:
    gain = evidence.right(most[name]) - evidence.right(chosen[name])
    return Claim(
        f"under {name} it stops growing after N = 16",
        interval(gain)[1] <= 0,
        _points(gain),
    )


def _hacked(evidence, chosen) -> Claim:
    column = evidence.names.index("mini_quality")
    alone, one = chosen["quality alone"], chosen[ONE]
    worse = evidence.right(alone) - evidence.right(one)
    rise = (evidence.rewards_of(alone) - evidence.rewards_of(one))[:, column]
    return Claim(
        "a verifier that can be hacked makes clips worse alone while its reward rises",
        interval(worse)[2] < 0 < interval(rise)[1],
        f"entirely right {_points(worse)}; its opinion {rise.mean():+.2f}",
    )


def _in_company(evidence, chosen) -> Claim:
    column = evidence.names.index("mini_quality")
    together, one = chosen["ARW with quality"], chosen[ONE]
    gain = evidence.right(together) - evidence.right(one)
    change = evidence.right(together) - evidence.right(chosen[ARW])
    rise = (evidence.rewards_of(together) - evidence.rewards_of(one))[:, column]
    return Claim(
        "in company it does not",
        interval(gain)[1] > 0,
        f"against one sample {_points(gain)}; against ARW without it "
        f"{_points(change)}; its opinion {rise.mean():+.2f}",
    )


def _joint_domination(evidence, chosen) -> Claim:
    average = evidence.rewards_of(None)
    judges = [i for i, name in enumerate(evidence.names) if name.endswith("_judge")]
    shares = {}
    for name in (ARW, "ARW with quality", *SINGLES):
        better = evidence.rewards_of(chosen[name]) >= average
        shares[name] = better.all(1).mean(), (~better[:, judges]).any(1).mean()
    most = max(shares, key=lambda name: shares[name][0])
    figures = "; ".join(
        f"{name} {all_:.0%} and {worse:.0%}" for name, (all_, worse) in shares.items()
    )
    return Claim(
        "joint domination: the winner is at least as good as the average sample under "
        "every verifier and judge most often where several choose",
        most not in SINGLES,
        f"share at least as good under all, share with some judge worse: {figures}",
    )


def _cold_start(evidence, num) -> Claim:
    rewards = jnp.asarray(evidence.rewards[:, :num, :3])
    mean, std = avits.verifiers.priors(evidence.names[:3])
    prior: dict[str, Any] = {"prior_mean": mean, "prior_std": std}
    found = {}
    for optimizer in ("closed_form", "adam", "lbfgs"):
        plain = avits.arw([1.0] * 3, optimizer=optimizer)
        informed = avits.arw([1.0] * 3, optimizer=optimizer, **prior)
        found[optimizer] = _prompts_until_settled(rewards, plain)
        found[f"{optimizer} with prior"] = _prompts_until_settled(rewards, informed)
    return Claim(
        "ARW's weights are within 20% of the final ones after fewer than 10 prompts",
        found["closed_form"] < 10,
        "; ".join(f"{name} {count}" for name, count in found.items()),
    )


def _prompts_until_settled(rewards, aggregator) -> int:
    """Prompts after which all weights stay within 20% of those at the end."""

    def step(state, batch):
        state = aggregator.update(batch, state)[1]
        return state, 1 / avits.sigmas(state)

    weights = np.asarray(jax.lax.scan(step, aggregator.init(3), rewards)[1])
    far = np.abs(weights / weights[-1] - 1).max(1) > 0.2
    return int(np.flatnonzero(far)[-1]) + 2 if far.any() else 1
