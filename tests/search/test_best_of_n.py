"""Best of N: independence of candidates, what is kept, ties, chunks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avits_jax.aggregation import weighted
from avits_jax.sampling import denoise
from avits_jax.sampling.chunks import over_candidates
from avits_jax.search import best_of_n, candidate_keys
from avits_jax.search.evaluate import Problem, evaluate
from avits_jax.search.picking import best_index, pick

KEY = jax.random.key(4)


def _search(toy, **arguments):
    bound = functools.partial(
        best_of_n,
        generator=toy.generator,
        verifiers=toy.verifiers,
        aggregator=weighted([0.5, 0.5]),
        **arguments,
    )
    return jax.jit(bound)(toy.params, KEY, toy.cond, None)


@pytest.fixture(scope="module")
def kept(toy_extra):
    """Seven candidates, everything kept."""
    return _search(toy_extra, num_candidates=7, keep_media=True, keep_latents=True)


def test_candidates_do_not_depend_on_how_many_there_are(toy_extra, kept):
    """Bit for bit: the toy's arithmetic is elementwise."""
    few = _search(toy_extra, num_candidates=3, keep_media=True, keep_latents=True)

    def same(a, b):
        np.testing.assert_array_equal(a, b[:3])

    jax.tree.map(same, few.latents, kept.latents)
    jax.tree.map(same, few.media, kept.media)
    same(few.rewards, kept.rewards)


def test_one_candidate_is_plain_sampling(toy_extra):
    output = _search(toy_extra, num_candidates=1, keep_latents=True)
    generator, params = toy_extra.generator, toy_extra.params.generator
    cond = toy_extra.cond.generator
    keys = candidate_keys(KEY, 1)
    start = generator.init(params, keys, cond)
    final, _ = denoise(params, keys, start, cond, generator=generator)
    media = generator.decode(params, final)
    assert output.best_index == 0
    np.testing.assert_allclose(output.best.video, media.video[0], atol=1e-6)
    np.testing.assert_allclose(output.best.audio, media.audio[0], atol=1e-6)


def test_kept_media_hold_the_winner(kept):
    np.testing.assert_array_equal(kept.media.video[kept.best_index], kept.best.video)
    np.testing.assert_array_equal(kept.media.audio[kept.best_index], kept.best.audio)
    assert kept.decodes == 7


@pytest.mark.parametrize(("batch", "keep", "decodes"), [(3, True, 7), (3, False, 8)])
def test_chunks_hold_media_only_if_asked(toy_extra, kept, batch, keep, decodes):
    output = _search(
        toy_extra,
        num_candidates=7,
        candidate_batch=batch,
        keep_media=keep,
        keep_latents=True,
    )
    assert output.decodes == decodes and (output.media is not None) == keep
    assert output.best_index == kept.best_index
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        (output.best, output.latents, output.scores),
        (kept.best, kept.latents, kept.scores),
    )


def test_permuted_candidates_have_permuted_rewards(toy_extra, kept):
    problem = Problem(*toy_extra[2:4], toy_extra.generator, toy_extra.verifiers)
    order = np.random.default_rng(0).permutation(7)
    permuted = jax.tree.map(lambda x: x[order], kept.latents)
    np.testing.assert_allclose(
        evaluate(problem, permuted), kept.rewards[order], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ([1.0, 3.0, 3.0], 1),
        ([np.nan, 0.0, np.nan], 1),
        ([-np.inf, -5.0, -np.inf], 1),
        ([-np.inf, np.nan], -1),
        ([0.0], 0),
    ],
)
def test_best_index_of_ties_and_failures(scores, wanted):
    assert best_index(jnp.asarray(scores, jnp.float32)) == wanted


def test_the_winner_is_not_gathered():
    lowered = jax.jit(pick).lower(jnp.zeros((8, 3)), jnp.int32(0)).as_text()
    assert "gather" not in lowered and "dynamic_slice" not in lowered


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.one_of(st.none(), st.integers(1, 14)))
def test_chunking_covers_every_candidate_once(num, batch):
    sizes = []

    def function(tree):
        sizes.append(tree["x"].shape[0])
        return {"y": tree["x"] * 2, "keys": tree["keys"]}

    tree = {"x": jnp.arange(num), "keys": jax.random.split(KEY, num)}
    output = over_candidates(function, tree, batch)
    np.testing.assert_array_equal(output["y"], 2 * np.arange(num))
    assert (output["keys"] == tree["keys"]).all()
    assert max(sizes) <= (batch or num)


def test_a_verifier_that_returns_the_wrong_shape_is_named(toy):
    wrong = toy.verifiers[1]._replace(score=lambda params, media, cond: jnp.zeros(3))
    with pytest.raises(ValueError, match=r"'sound' must return .* \(4,\), got \(3,\)"):
        _search(toy._replace(verifiers=(toy.verifiers[0], wrong)), num_candidates=4)
