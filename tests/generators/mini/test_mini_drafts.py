"""Mini's drafts with its real weights: fewer evaluations, and clips that resemble."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avits_jax as avits
from avits_jax.generators.mini.config import MiniConfig
from avits_jax.generators.mini.generator import mini
from avits_jax.sampling import denoise
from avits_jax.search import candidate_keys

KEYS = candidate_keys(jax.random.key(1), 3)
PROMPT = "a red circle bounces three times with a bell"


@pytest.fixture(scope="module")
def loaded():
    """Mini of eight steps, strongly guided, and its weights."""
    return avits.generators.load("mini", num_steps=8, guidance_scale=3.0)


def _latents(generator, params):
    cond = generator.encode(PROMPT)

    @jax.jit
    def sample(params, cond):
        start = generator.init(params, KEYS, cond)
        return denoise(params, KEYS, start, cond, generator=generator)[0].latents

    found = sample(params, jnp.asarray(cond))
    return np.concatenate([found[name].reshape(3, -1) for name in sorted(found)], 1)


def _distance(a, b):
    return np.sqrt(np.square(a - b).mean())


def test_drafts_resemble_the_clip_of_their_noise(loaded):
    """Each is nearer to its own candidate than the nearest other candidate is."""
    generator, params = loaded
    whole = _latents(generator, params)
    apart = min(_distance(whole[i], whole[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert [draft.evaluations() for draft in generator.drafts] == [8, 8, 4, 10, 10]
    errors = {}
    for number, draft in enumerate(generator.drafts):
        found = _latents(draft, params)
        errors[number] = max(map(_distance, found, whole))
        assert 1e-3 < errors[number] < apart
    # Guidance that is used again is better than none, and blocks than fewer steps.
    assert errors[3] < errors[1]
    assert errors[4] < errors[0]


def test_without_guidance_steps_are_all_there_is_to_save():
    assert len(mini(guidance_scale=1.0, num_steps=4).drafts) == 2
    assert mini(num_steps=1).drafts[0].evaluations() == 2


def test_a_draft_of_other_sizes_is_refused(loaded):
    generator, params = loaded
    other = mini(MiniConfig(video_latent=16), num_steps=8)
    verifiers, vparams = avits.verifiers.load(["mini_av"])
    cond = avits.encode_prompt(PROMPT, generator, verifiers)
    with pytest.raises(ValueError, match="draft must start from the latents of"):
        avits.draft_best_of_n(
            avits.Params(params, vparams),
            jax.random.key(1),
            cond,
            generator=generator,
            verifiers=verifiers,
            aggregator=avits.weighted([1.0]),
            draft=other.drafts[0],
            num_candidates=2,
            num_kept=1,
        )
