"""The README's first command shows what search is for, whatever the seed."""

from functools import partial

import jax
import pytest

import avits_jax as avits
from avits_jax.mini_world import grammar, truth

PROMPT = "a red circle bounces three times with a bell"


@pytest.mark.slow  # ten searches of 16: 35 s
def test_winners_of_nine_of_the_first_ten_seeds_are_entirely_right():
    names = ["mini_tv", "mini_ta", "mini_av"]
    generator, params = avits.generators.load("mini")
    verifiers, vparams = avits.verifiers.load(names)
    aggregator = avits.arw([1.0] * len(names), optimizer="closed_form")
    parts = {"generator": generator, "verifiers": verifiers, "aggregator": aggregator}
    search = jax.jit(partial(avits.best_of_n, **parts, num_candidates=16))
    cond = avits.encode_prompt(PROMPT, generator, verifiers)
    asked = grammar.parse(PROMPT)
    weights = avits.Params(params, vparams)
    # The command line searches for its prompt with the key of row 0.
    keys = [jax.random.fold_in(jax.random.key(seed), 0) for seed in range(10)]
    winners = [search(weights, key, cond).best for key in keys]
    right = [
        truth.judge(truth.measure(*jax.device_get(x)), asked).right for x in winners
    ]
    assert sum(right) >= 9, right
