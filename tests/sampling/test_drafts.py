"""Drafts made of a generator: what they spend, and when they are the generator."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drafted import close, run

from avits_jax.aggregation import weighted
from avits_jax.sampling import (
    Guidance,
    euler,
    fewer_steps,
    flow_step,
    linear_sigmas,
    noise_like,
    reuse_guidance,
    split_branches,
    usual_drafts,
    without_guidance,
)
from avits_jax.search import candidate_keys, draft_best_of_n
from avits_jax.types import Candidates, Generator, Media

KEYS = candidate_keys(jax.random.key(5), 3)
SCALE, NUM_STEPS = 3.0, 8
COND = jnp.float32(0.4)


class Guided(NamedTuple):
    """A generator, the guidance of its predictions, and rows its network has seen."""

    generator: Generator
    guidance: Guidance
    rows: list[int]

    def count(self, generator, cond=COND):
        """Return how many rows the network sees in a run of one candidate."""
        self.rows.clear()
        jax.block_until_ready(run(generator, KEYS[:1], cond))
        jax.effects_barrier()
        return sum(self.rows)


@pytest.fixture(scope="module")
def guided() -> Guided:
    """A network that leans on the prompt more, the less noise there is.

    Picture and sound have schedules of their own.
    """
    rows: list[int] = []
    levels = linear_sigmas(NUM_STEPS)
    sigmas = tuple({"audio": s**2, "video": s} for s in levels)

    def network(latents, i, cond):
        jax.debug.callback(lambda: rows.append(len(latents["video"])))
        near = 1 - jnp.asarray(levels)[i]
        return {
            name: jnp.sin(2 * z) + cond * near + 0.1 * jnp.cos(z * cond)
            for name, z in latents.items()
        }

    def both(params, candidates, i, cond):
        latents = jax.tree.map(lambda z: jnp.repeat(z, 2, axis=0), candidates.latents)
        count = len(latents["video"])
        conds = jnp.tile(jnp.asarray([cond, 0 * cond]), count // 2)[:, None]
        found = network(latents, i, conds)
        with_prompt, without = split_branches(found, 2)
        extra = candidates.extra["bias"][:, None]
        return (
            jax.tree.map(lambda c: c + extra, with_prompt),
            jax.tree.map(
                lambda c, u: u + SCALE * (c - u) + extra, with_prompt, without
            ),
        )

    def conditional(params, candidates, i, cond):
        found = network(candidates.latents, i, cond)
        extra = candidates.extra["bias"][:, None]
        return jax.tree.map(lambda c: c + extra, found)

    def init(params, keys, cond):
        blank = {"audio": jnp.zeros((len(keys), 2)), "video": jnp.zeros((len(keys), 3))}
        latents = noise_like(keys, blank)
        return Candidates(latents, {"bias": 0.1 * latents["video"][:, 0]})

    def predict(params, candidates, i, cond):
        return both(params, candidates, i, cond)[1]

    def decode(params, candidates):
        assert set(candidates.extra) == {"bias"}
        video = jax.nn.sigmoid(candidates.latents["video"])[:, None, None, None]
        return Media(video, jnp.tanh(candidates.latents["audio"]))

    generator = Generator(
        init, euler(predict, sigmas), decode, predict, sigmas, nfe_per_step=2
    )
    return Guided(generator, Guidance(both, conditional), rows)


def test_with_every_step_full_a_draft_is_the_generator(guided):
    generator, guidance, _ = guided
    wanted = run(generator, KEYS, COND)
    every = reuse_guidance(generator, guidance, range(NUM_STEPS))
    assert every.evaluations() == generator.evaluations()
    close(run(every, KEYS, COND), wanted, 1e-6)
    close(run(fewer_steps(generator, 1), KEYS, COND), wanted, 1e-6)
    # The others are not.
    for draft in usual_drafts(generator, guidance):
        latents, _ = run(draft, KEYS, COND)
        assert np.abs(latents["video"] - wanted[0]["video"]).max() > 1e-3


def test_drafts_spend_what_they_say(guided):
    generator, guidance, _ = guided
    assert guided.count(generator) == generator.evaluations() == 16
    drafts = usual_drafts(generator, guidance)
    assert [draft.evaluations() for draft in drafts] == [8, 8, 4, 10]
    assert [guided.count(draft) for draft in drafts] == [8, 8, 4, 10]
    assert drafts[3].nfe_per_step == (2, 1, 1, 1) * 2
    assert not any(draft.drafts for draft in drafts)
    assert len(usual_drafts(generator)) == 1


def test_reused_guidance_is_the_last_difference_of_velocities(guided):
    """Retold step by step, the difference kept aside."""
    generator, guidance, _ = guided
    draft = reuse_guidance(generator, guidance, (1, 4))
    now = generator.init((), KEYS, COND)
    kept = jax.tree.map(jnp.zeros_like, now.latents)
    for i in range(NUM_STEPS):
        level, after = generator.sigmas[i], generator.sigmas[i + 1]
        conditional, clean = guidance.both((), now, i, COND)
        if i in (1, 4):
            kept = jax.tree.map(lambda s, a, b: (a - b) / s, level, clean, conditional)
        clean = jax.tree.map(lambda s, c, d: c + s * d, level, conditional, kept)
        now = now._replace(latents=flow_step(now.latents, clean, level, after))
    close(run(draft, KEYS, COND)[0], now.latents)


def test_without_full_steps_nothing_guides(guided):
    generator, guidance, _ = guided
    none = reuse_guidance(generator, guidance, ())
    bare = without_guidance(generator, guidance)
    assert none.evaluations() == bare.evaluations() == NUM_STEPS
    close(run(none, KEYS, COND), run(bare, KEYS, COND), 1e-6)


def test_fewer_steps_lead_to_the_levels_of_the_generator(guided):
    draft = fewer_steps(guided.generator, 3)
    assert draft.sigmas == tuple(guided.generator.sigmas[i] for i in (0, 3, 6, 8))
    uneven = guided.generator._replace(nfe_per_step=tuple(range(1, 9)))
    assert fewer_steps(uneven, 3).nfe_per_step == (1, 4, 7)


@pytest.mark.parametrize("number", range(4))
def test_a_draft_is_alike_in_pieces_over_prompts_and_eager(guided, number):
    draft = usual_drafts(guided.generator, guided.guidance)[number]
    whole = run(draft, KEYS, COND)
    alone = run(draft, KEYS[2:], COND)
    close(alone, jax.tree.map(lambda x: x[2:], whole))
    conds = jnp.asarray([0.4, -1.3])
    both = jax.vmap(lambda cond: run(draft, KEYS, cond))(conds)
    close(jax.tree.map(lambda x: x[0], both), whole)
    close(jax.tree.map(lambda x: x[1], both), run(draft, KEYS, conds[1]))
    with jax.disable_jit():
        close(run(draft, KEYS[:1], COND), jax.tree.map(lambda x: x[:1], whole))


def test_searches_take_drafts_that_carry_more(guided, toy):
    """The state of a draft is its own affair; its clips are scored as any."""
    generator, guidance, _ = guided
    drafts = usual_drafts(generator, guidance)
    for keep, draft in ((2, drafts[3]), (3, drafts[0])):
        output = draft_best_of_n(
            ((), toy.params.verifiers),
            jax.random.key(5),
            (COND, toy.cond.verifiers),
            generator=generator,
            verifiers=toy.verifiers,
            aggregator=weighted([1.0, 0.0]),
            draft=draft,
            num_candidates=3,
            num_kept=keep,
            keep_latents=True,
        )
        assert output.nfe == 3 * draft.evaluations() + keep * generator.evaluations()
        assert output.latents.extra.keys() == {"bias"}


@pytest.mark.parametrize("steps", [(8,), (-1,)])
def test_full_steps_out_of_range_are_refused(guided, steps):
    with pytest.raises(ValueError, match=r"full_steps must lie in \[0, 7\]"):
        reuse_guidance(guided.generator, guided.guidance, steps)
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        fewer_steps(guided.generator, 0)
