"""JavisDiT's drafts: one row where guidance takes two, and the same conditional one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_javisdit import jit, tiny

from avits_jax.generators.javisdit import generator as javis
from avits_jax.search import candidate_keys

KEYS = candidate_keys(jax.random.key(3), 2)
PROMPT = "a dog barks"


@pytest.mark.parametrize("prior_scope", ["candidate", "separate"])
def test_the_conditional_row_alone_is_that_of_the_pair(prior_scope):
    """What a full step keeps is guided minus conditional, both of the pair."""
    small = tiny(prior_scope=prior_scope)
    generator, params = small.generator, small.params
    _, bare, _, reused, _ = generator.drafts

    @jit
    def predictions(params, prompt):
        cond = generator.prepare(params, prompt)
        start = generator.init(params, KEYS, cond)
        alone = bare.predict(params, start, 0, cond)
        guided = generator.predict(params, start, 0, cond)
        after = reused.step(params, KEYS, reused.init(params, KEYS, cond), 0, cond)
        plain = generator.step(params, KEYS, start, 0, cond)
        return start.latents, alone, guided, after, plain.latents

    found = predictions(params, generator.encode(PROMPT))
    start, alone, guided, after, plain = found
    assert bare.evaluations() == generator.evaluations() // 2
    assert isinstance(start, javis.Latents)
    for name in ("video", "audio"):
        one, two, kept, moved, wanted = (
            np.asarray(getattr(each, name))
            for each in (alone, guided, after.extra.kept, after.latents, plain)
        )
        # At a full step the draft is the generator; sigma is 1 at the first.
        np.testing.assert_allclose(moved, wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(two - one, kept, rtol=1e-3, atol=1e-4)
        assert np.abs(kept).max() > 1e-2
        assert jnp.isfinite(one).all()


def test_levels_that_are_used_again_are_those_of_the_last_full_step():
    small = tiny(num_steps=5)
    generator, params = small.generator, small.params
    draft = generator.drafts[-1]
    assert draft.nfe_per_step == (2, 0, 0, 2, 2)

    @jit
    def two_steps(params, prompt):
        cond = generator.prepare(params, prompt)
        start = draft.init(params, KEYS, cond)
        first = draft.step(params, KEYS, start, 0, cond)
        plain = generator.step(
            params, KEYS, generator.init(params, KEYS, cond), 0, cond
        )
        second = draft.step(params, KEYS, first, 1, cond)
        full = generator.step(params, KEYS, plain, 1, cond)
        return first, plain, second, full

    first, plain, second, full = two_steps(params, generator.encode(PROMPT))
    for kept in first.extra.kept:  # tokens of video and of audio, of two rows each
        assert kept.shape[:2] == (2, 2) and jnp.abs(kept).max() > 1e-3
    jax.tree.map(np.testing.assert_array_equal, second.extra.kept, first.extra.kept)
    for name in ("video", "audio"):
        same, reused, wanted, before = (
            np.asarray(getattr(each.latents, name))
            for each in (first, second, full, plain)
        )
        np.testing.assert_allclose(same, before, rtol=1e-4, atol=1e-4)
        away = np.abs(reused - wanted).max()
        assert 0 < away < np.abs(wanted - before).max()
