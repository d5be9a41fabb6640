"""A cheap decoder for clips on the way; finished clips are decoded in full."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from search_cases import AGGREGATOR, SMALL

from avits_jax.search import best_of_n, guide_by_gradient, share_with_guides
from avits_jax.types import Params

KEY = jax.random.key(2)
# Searches that look at clips on the way, and how often for toys of SMALL sizes.
GLANCES = {
    "smc": 3,
    "beam_search": 8,
    "pruned_best_of_n": 3,
    "draft_best_of_n": 3,
}


def _traced(generator, seen, function):
    def decode(params, candidates):
        seen.append((function, len(candidates.latents["audio"])))
        return generator.decode(params, candidates)

    return decode


def _previewed(toy, seen):
    def lay(generator):
        return generator._replace(
            decode=_traced(generator, seen, "decode"),
            preview=_traced(generator, seen, "preview"),
        )

    generator = lay(toy.generator)
    drafts = tuple(map(lay, toy.generator.drafts))
    return toy._replace(generator=generator._replace(drafts=drafts))


def test_only_clips_on_the_way_are_previewed(small, build_toy):
    toy, seen = build_toy(4, with_extra=True), []
    shown = _previewed(toy, seen)
    arguments = toy.params, KEY, toy.cond, None
    output = jax.eval_shape(small.bind(shown), *arguments)
    name = small.search.__name__
    assert sum(num for which, num in seen if which == "preview") == GLANCES.get(name, 0)
    assert sum(num for which, num in seen if which == "decode")
    assert output == jax.eval_shape(small.bind(toy), *arguments)


def test_previews_decide_on_the_way_and_count_as_decodes(build_toy, counter):
    """What verifiers see on the way comes from the preview: it prefers the dark."""
    toy = build_toy(4)
    generator = toy.generator

    def preview(params, candidates):
        media = generator.decode(params, candidates)
        return media._replace(video=1 - media.video, audio=-media.audio)

    case = SMALL["pruned_best_of_n"].but(num_candidates=6, rungs=((1, 2),))
    other = toy._replace(generator=generator._replace(preview=preview))
    arguments = toy.params, KEY, toy.cond, None
    plain, output = (
        jax.jit(case.bind(each))(*arguments) for each in (toy, counter.toy(other))
    )
    assert not np.allclose(output.rewards, plain.rewards)
    assert counter.cost() == case.predicted_cost(toy)[:3]
    # The survivors' rewards are those of whole clips.
    clip = jax.tree.map(lambda leaf: leaf[None], output.best)
    reward = toy.verifiers[0].score(
        toy.params.verifiers[0], clip, toy.cond.verifiers[0]
    )
    np.testing.assert_allclose(
        reward[0], output.rewards[output.best_index, 0], rtol=1e-4, atol=1e-6
    )


def test_a_preview_that_breaks_its_contract_is_named(build_toy):
    toy = build_toy(4)

    def preview(params, candidates):
        media = toy.generator.decode(params, candidates)
        return media._replace(video=(255 * media.video).astype(jnp.uint8))

    broken = toy._replace(generator=toy.generator._replace(preview=preview))
    with pytest.raises(ValueError, match="preview must return Media whose video is"):
        jax.eval_shape(SMALL["smc"].bind(broken), toy.params, KEY, toy.cond, None)


def test_a_guided_generator_has_them_too(build_toy):
    toy, seen = build_toy(4), []

    def with_image(params, cond, image):
        return cond | {"video": cond["video"] + params["frequency"] * image.mean()}

    generator = _previewed(toy, seen).generator._replace(with_image=with_image)
    guided = guide_by_gradient(generator, toy.verifiers[:1], 0.1)
    pair = share_with_guides(toy.cond, [0]).generator
    weights = Params(toy.params.generator, toy.params.verifiers[:1])
    lifted = guided.with_image(weights, pair, jnp.ones((2, 2, 3)))
    np.testing.assert_allclose(
        lifted.generator["video"], toy.cond.generator["video"] + 3
    )
    seen.clear()
    search = functools.partial(
        best_of_n,
        generator=guided,
        verifiers=toy.verifiers,
        aggregator=AGGREGATOR,
        num_candidates=2,
    )
    jax.eval_shape(
        lambda p, c: search(share_with_guides(p, [0]), KEY, share_with_guides(c, [0])),
        toy.params,
        toy.cond,
    )
    assert {which for which, _ in seen} == {"decode"}
    candidates = jax.eval_shape(
        generator.init, toy.params.generator, KEY[None], toy.cond.generator
    )
    seen.clear()
    jax.eval_shape(guided.preview, weights, candidates)
    assert seen == [("preview", 1)]
