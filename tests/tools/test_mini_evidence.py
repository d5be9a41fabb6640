"""Selections and claims of tools/evaluate_mini.py, on evidence made by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "mini")]

import mini_claims  # noqa: E402
import mini_figures  # noqa: E402
from data import wrong_captions  # noqa: E402
from evaluate_mini import make_prompts  # noqa: E402
from mini_selections import ARW, ONE, RANK, SINGLES, SUM, Evidence, selections  # noqa: E402

from avits_jax.mini_world import grammar  # noqa: E402

NAMES = ("mini_tv", "mini_ta", "mini_av", "mini_quality")


@pytest.fixture(scope="module")
def evidence():
    """A world in which each verifier sees an attribute of its own, on its own scale.

    Quality likes clips of a wrong number of impacts, and judges see as the guides do.
    """
    rng = np.random.default_rng(0)
    shape = (60, 16)
    parts = rng.random((*shape, 5)) < [0.7, 0.9, 0.8, 0.6, 0.6]
    seen, count, heard, step = (parts[..., i].astype(float) for i in (0, 2, 3, 4))
    noise = 0.1 * rng.normal(size=(*shape, 4))
    guides = np.stack([seen + count, heard + count, step, 2 - 2 * count], -1) + noise
    guides *= [0.1, 5, 0.5, 0.5]
    rewards = np.concatenate([guides, guides], -1).astype(np.float32)
    names = (*NAMES, *(f"{name}_judge" for name in NAMES))
    return Evidence(names, rewards, parts)


def by_text(evidence):
    return {claim.text: claim for claim in mini_claims.claims(evidence)}


def test_claims_are_judged(evidence):
    found = by_text(evidence)
    for text in (
        "text-audio alone lifts sound, impacts, and leaves another at or below one "
        "sample's level",
        "ARW over three beats the best single verifier by more than the interval",
        "a verifier that can be hacked makes clips worse alone while its reward rises",
        "in company it does not",
        "success under ARW grows with N up to 16",
    ):
        assert found[text].holds, found[text]
    beaten = found[
        "on the verifiers' own unlike scales ARW beats plain sum by more than the "
        "interval"
    ]
    assert beaten.holds


def test_claims_can_fail(evidence):
    noise = np.random.default_rng(1).normal(size=evidence.rewards.shape)
    found = by_text(evidence._replace(rewards=noise.astype(np.float32)))
    failed = [claim for claim in found.values() if not claim.holds]
    assert len(failed) >= 8
    assert not found["in company it does not"].holds


def test_selections_are_those_of_the_rewards(evidence):
    chosen = selections(evidence, 8)
    for name, column in SINGLES.items():
        np.testing.assert_array_equal(
            chosen[name], evidence.rewards[:, :8, column].argmax(1)
        )
    total = evidence.rewards[:, :8, :3].sum(2)
    np.testing.assert_array_equal(chosen[SUM], total.argmax(1))
    assert chosen[ONE] is None
    rates = {name: evidence.right(winners).mean() for name, winners in chosen.items()}
    assert rates[ARW] > rates[RANK] - 0.1 > rates[ONE]
    one = evidence.verdicts.all(2).mean()
    assert rates[ONE] == pytest.approx(one)


def test_evidence_is_read_as_written(evidence, tmp_path):
    evidence.write(tmp_path / "mini.npz")
    again = Evidence.read(tmp_path / "mini.npz")
    assert again.names == evidence.names
    np.testing.assert_array_equal(again.rewards, evidence.rewards)
    np.testing.assert_array_equal(again.verdicts, evidence.verdicts)
    mini_figures.plot(again, tmp_path / "mini.png")
    assert (tmp_path / "mini.png").stat().st_size > 10_000


def meaning(ids):
    """What a caption asks for."""
    return grammar.parse(" ".join(grammar.WORDS[i] for i in ids if i))


def test_captions_are_wrong_as_often_as_told():
    prompts = make_prompts(240, 5)
    attributes = np.array([asked for _, asked in prompts])
    chances = (0.5, 0.2, 0.1, 0.0)
    words = wrong_captions(attributes, chances, 4, 7)
    assert words.shape == (240, 4, 24) and words.dtype == np.int8
    said = np.array([[meaning(text) for text in row] for row in words])
    wrong = (said != attributes[:, None]).mean((0, 1))
    np.testing.assert_allclose(wrong, chances, atol=0.05)
    assert wrong[3] == 0
    np.testing.assert_array_equal(words, wrong_captions(attributes, chances, 4, 7))
