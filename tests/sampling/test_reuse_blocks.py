"""Drafts that use again what a network's blocks added: costs, states, transforms."""

from functools import partial

import drafted
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drafted import run

from avits_jax.nn.stacking import run_or_repeat
from avits_jax.sampling import (
    Blocks,
    euler,
    linear_sigmas,
    noise_like,
    repeat_rows,
    reuse_blocks,
    usual_drafts,
)
from avits_jax.search import candidate_keys
from avits_jax.types import Candidates, Generator, Media

NUM_STEPS, GROUPS, SCALE = 8, 2, 2.0
KEYS = candidate_keys(jax.random.key(5), 3)
COND = jnp.float32(0.4)
SIGMAS = linear_sigmas(NUM_STEPS)


def predict_and_tell(params, candidates, i, cond, added):
    """Predict with guidance; what the blocks added has two rows for each candidate."""
    doubled = repeat_rows(candidates.latents, GROUPS)
    conds = jnp.tile(jnp.stack([cond, 0 * cond]), len(candidates.latents))[:, None]
    near = 1 - jnp.asarray(SIGMAS)[i]

    def blocks(tokens):
        return tokens + jnp.sin(2 * tokens) * near + conds

    tokens, added = run_or_repeat(blocks, doubled + 0.1, added)
    rows = jnp.tanh(tokens).reshape(-1, GROUPS, tokens.shape[-1])
    bias = candidates.extra["bias"][:, None]
    return rows[:, 1] + SCALE * (rows[:, 0] - rows[:, 1]) + bias, added


def init(params, keys, cond):
    latents = noise_like(keys, jnp.zeros((len(keys), 3)))
    return Candidates(latents, {"bias": 0.1 * latents[:, 0]})


def predict(params, candidates, i, cond):
    return predict_and_tell(params, candidates, i, cond, None)[0]


def decode(params, candidates):
    assert set(candidates.extra) == {"bias"}
    video = jax.nn.sigmoid(candidates.latents)[:, None, None, None]
    return Media(video, jnp.tanh(candidates.latents))


GENERATOR = Generator(
    init,
    euler(predict, SIGMAS),
    decode,
    predict,
    SIGMAS,
    nfe_per_step=GROUPS,
    flops_per_evaluation=100.0,
)
BLOCKS = Blocks(predict_and_tell, flops=10.0)
reusing = partial(reuse_blocks, GENERATOR, BLOCKS)


close = partial(drafted.close, atol=1e-6, rtol=1e-7)


def test_with_every_step_full_the_draft_is_the_generator():
    every = reusing(range(NUM_STEPS))
    assert every.evaluations() == GENERATOR.evaluations()
    assert every.flops_per_evaluation == GENERATOR.flops_per_evaluation
    close(run(every, KEYS, COND), run(GENERATOR, KEYS, COND))


def test_between_full_steps_the_last_sum_is_added_again():
    """Retold step by step, the sum kept aside."""
    draft, wanted = reusing((0, 3)), GENERATOR.init((), KEYS, COND)
    kept = None
    for i in range(NUM_STEPS):
        given = None if i in (0, 3) else kept
        clean, kept = predict_and_tell((), wanted, i, COND, given)
        move = euler(lambda *_, clean=clean: clean, SIGMAS)
        wanted = move((), KEYS, wanted, i, COND)
    found, _ = run(draft, KEYS, COND)
    close(found, wanted.latents)
    assert np.abs(found - run(GENERATOR, KEYS, COND)[0]).max() > 1e-2


def test_costs_are_those_of_full_steps_and_of_the_ends():
    draft = reusing((0, 3))
    assert draft.nfe_per_step == (2, 0, 0, 2, 0, 0, 0, 0)
    assert draft.evaluations() == 4
    # Four evaluations in full, and the ends of twelve.
    assert draft.evaluations() * draft.flops_per_evaluation == 4 * 100 + 12 * 10
    unknown = reuse_blocks(GENERATOR, Blocks(predict_and_tell), (0, 3))
    assert unknown.flops_per_evaluation == 100


def test_blocks_are_left_out_when_the_program_runs():
    ran = []

    def counted(params, candidates, i, cond, added):
        if added is None:
            jax.debug.callback(lambda: ran.append(1))
        return predict_and_tell(params, candidates, i, cond, added)

    jax.block_until_ready(
        run(reuse_blocks(GENERATOR, Blocks(counted), (0, 3, 5)), KEYS, COND)
    )
    jax.effects_barrier()
    assert len(ran) == 3


def test_the_state_travels_with_its_candidate():
    draft = reusing((0, 4))
    start = draft.init((), KEYS, COND)
    assert start.extra.kept.shape == (3, GROUPS, 3)
    order = jnp.array([2, 0, 1])
    step = jax.jit(lambda c, i: draft.step((), KEYS, c, i, COND))
    after = step(start, 0)
    moved = jax.tree.map(lambda x: x[order], after)
    close(step(moved, 1), jax.tree.map(lambda x: x[order], step(after, 1)))
    broken = after._replace(latents=after.latents.at[1].set(jnp.nan))
    found = step(broken, 1).latents
    assert jnp.isnan(found[1]).all()
    close(found[::2], step(after, 1).latents[::2])


def test_alike_in_pieces_over_prompts_and_eager():
    draft = reusing((0, 1, 4))
    whole = run(draft, KEYS, COND)
    close(run(draft, KEYS[2:], COND), jax.tree.map(lambda x: x[2:], whole))
    conds = jnp.asarray([0.4, -1.3])
    both = jax.vmap(lambda cond: run(draft, KEYS, cond))(conds)
    close(jax.tree.map(lambda x: x[0], both), whole)
    close(jax.tree.map(lambda x: x[1], both), run(draft, KEYS, conds[1]))
    with jax.disable_jit():
        close(run(draft, KEYS, COND), whole)


def test_the_usual_schedule_runs_early_steps_every_third_and_the_last():
    *_, draft = usual_drafts(GENERATOR, None, BLOCKS)
    full = [i for i, nfe in enumerate(draft.nfe_per_step) if nfe]
    assert full == [0, 1, 3, 6, 7]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((0, 8), r"full_steps must lie in \[0, 7\], got \(0, 8\)"),
        ((0, -1), r"full_steps must lie in \[0, 7\]"),
        ((1, 2), "full_steps must hold step 0"),
        ((), "full_steps must hold step 0"),
    ],
)
def test_bad_schedules_are_refused(steps, message):
    with pytest.raises(ValueError, match=message):
        reusing(steps)
