"""A guided generator: what it moves, what it costs, and that every search takes it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from search_cases import SMALL, running_mean

from avits_jax import generators, verifiers
from avits_jax.aggregation import weighted
from avits_jax.parallel import make_mesh, place_params
from avits_jax.parallel.sharding import param_shardings, search_shardings
from avits_jax.sampling import (
    denoise,
    fewer_steps,
    reuse_guidance,
    step_keys,
)
from avits_jax.sampling.reuse import Guidance
from avits_jax.search import (
    best_of_n,
    best_of_n_cost,
    candidate_keys,
    draft_best_of_n,
    guide_by_gradient,
    share_with_guides,
)
from avits_jax.types import Params, Verifier

SCALE = 0.4
KEYS = candidate_keys(jax.random.key(1), 4)


def guide(toy, scale=SCALE, **settings):
    """Return a toy whose generator is guided by the verifiers that score."""
    return toy._replace(
        generator=guide_by_gradient(toy.generator, toy.verifiers, scale, **settings),
        params=share_with_guides(toy.params),
        cond=share_with_guides(toy.cond),
        conds=share_with_guides(toy.conds),
    )


@pytest.fixture(scope="module")
def plain(build_toy):
    """Four steps, with conditioning of each candidate's own."""
    return build_toy(4, with_extra=True)


@pytest.fixture(scope="module")
def guided(plain):
    """The same, guided by both verifiers at the middle steps."""
    return guide(plain, steps=(1, 2))


@pytest.fixture(params=SMALL)
def name(request) -> str:
    """Each search in turn."""
    return request.param


@pytest.fixture(scope="module")
def search(guided):
    """Return ``name -> jitted search``, compiled once each."""
    return functools.cache(
        lambda name: jax.jit(SMALL[name].bind(guided, running_mean()))
    )


def _close(found, wanted, tolerance=1e-4):
    chex.assert_trees_all_close(found, wanted, rtol=tolerance, atol=tolerance)


def _without_decodes(output):
    return output._replace(decodes=0)


def test_eager_equals_jit(name, search, guided):
    arguments = guided.params, jax.random.key(2), guided.cond, None
    eager = SMALL[name].bind(guided, running_mean())(*arguments)
    _close(eager, search(name)(*arguments))


def test_chunks_change_nothing(name, search, guided):
    arguments = guided.params, jax.random.key(2), guided.cond, None
    case = SMALL[name].but(candidate_batch=2)
    chunked = jax.jit(case.bind(guided, running_mean()))(*arguments)
    whole = search(name)(*arguments)
    _close(_without_decodes(chunked), _without_decodes(whole))


def test_vmap_over_prompts_equals_a_loop(name, search, guided):
    keys = jax.random.split(jax.random.key(3), 2)
    conds = jax.tree.map(lambda x: x[:2], guided.conds)
    together = jax.vmap(search(name), (None, 0, 0, None))(
        guided.params, keys, conds, None
    )
    for n in range(2):
        one = jax.tree.map(lambda x, n=n: x[n], conds)
        alone = search(name)(guided.params, keys[n], one, None)
        _close(jax.tree.map(lambda x, n=n: x[n], together), alone)


def test_without_scale_it_is_unguided_bit_for_bit(name, plain):
    off = guide(plain, 0.0)
    key = jax.random.key(4)
    wanted, found = (
        jax.jit(SMALL[name].bind(toy, running_mean()))(toy.params, key, toy.cond, None)
        for toy in (plain, off)
    )
    chex.assert_trees_all_equal(found, wanted)


# The same gain in two more searches takes a quarter of this module's time.
@pytest.mark.parametrize(
    "name",
    [
        "best_of_n",
        pytest.param("beam_search", marks=pytest.mark.slow),
        pytest.param("smc", marks=pytest.mark.slow),
    ],
)
def test_steps_and_predictions_gain(name, plain):
    """Rewards of the guide rise, where a network is as smooth as large ones are."""
    picture = plain._replace(
        verifiers=plain.verifiers[:1],
        params=Params({"frequency": jnp.float32(0.5)}, plain.params.verifiers[:1]),
        cond=plain.cond._replace(verifiers=plain.cond.verifiers[:1]),
        conds=plain.conds._replace(verifiers=plain.conds.verifiers[:1]),
    )
    keys = jax.random.split(jax.random.key(5), 3)
    means = []
    for toy in (picture, guide(picture, 1.0)):
        run = jax.vmap(SMALL[name].bind(toy, weighted([1.0])), (None, 0, 0, None))
        output = jax.jit(run)(toy.params, keys, toy.conds, None)
        means.append(np.nanmean(output.rewards))
    assert means[1] > means[0] + 0.1, means


def test_cost_is_counted_and_predicted(name, plain, counter):
    """Passes forwards and backwards, of network, decoder and guides."""
    steps = {"steps": (0, 2)}
    counted = guide(counter.toy(plain), **steps)
    case = SMALL[name]
    run = jax.jit(case.bind(counted, running_mean()))
    output = run(counted.params, jax.random.key(6), counted.cond, None)
    spent = counter.cost()
    assert spent == (output.nfe, output.decodes, output.verifier_calls)
    assert spent == case.as_drawn(output).predicted_cost(guide(plain, **steps))[:3]


def test_cost_of_a_guided_run(plain):
    flops = plain.generator._replace(flops_per_evaluation=1e9)
    generator = guide_by_gradient(flops, plain.verifiers, SCALE, steps=(1, 2))
    assert generator.nfe_per_step == (2, 4, 4, 2)
    none = guide_by_gradient(flops, plain.verifiers, SCALE, steps=())
    assert none.evaluations() == 8 and none.looks() == (0, 0)
    assert generator.looks() == (4, 8) and generator.looks(2, 3) == (2, 4)
    cost = best_of_n_cost(generator, 2, 3)
    assert cost == (3 * 12, 3 * (4 + 1), 3 * (8 + 2), 3 * 12e9)
    draft = fewer_steps(generator)
    assert (draft.nfe_per_step, draft.looks()) == ((2, 4), (2, 4))


def _population(toy, keys=KEYS):
    return toy.generator.init(toy.params.generator, keys, toy.cond.generator)


def _reward(plain, latents, extra, i):
    """Return the reward expected of one candidate, without guidance's own code."""
    one = jax.tree.map(lambda x: x[None], (latents, extra))
    candidates = _population(plain, KEYS[:1])._replace(latents=one[0], extra=one[1])
    generator, params, cond = plain.generator, plain.params, plain.cond
    clean = generator.predict(params.generator, candidates, i, cond.generator)
    media = generator.decode(params.generator, candidates._replace(latents=clean))
    rewards = [
        verifier.score(p, media, c)[0]
        for verifier, p, c in zip(
            plain.verifiers, params.verifiers, cond.verifiers, strict=True
        )
    ]
    return 2.0 * rewards[0] - 1.0 * rewards[1]


def test_predictions_move_along_the_gradient_of_each_candidate(plain):
    toy = guide(plain, weights=(2.0, -1.0))
    candidates, i = _population(toy), 1
    own = _population(plain)
    chex.assert_trees_all_equal(candidates, own)
    gradient = jax.vmap(jax.grad(lambda z, extra: _reward(plain, z, extra, i)), (0, 0))(
        own.latents, own.extra
    )
    rows = jnp.concatenate(jax.tree.leaves(gradient), axis=1)
    length = jnp.linalg.norm(rows, axis=1, keepdims=True) / np.sqrt(rows.shape[1])
    sigma = toy.generator.sigmas[i]
    clean = plain.generator.predict(
        plain.params.generator, own, i, plain.cond.generator
    )
    wanted = jax.tree.map(lambda x, g: x + SCALE * sigma * g / length, clean, gradient)
    found = toy.generator.predict(toy.params.generator, candidates, i, *_own(toy))
    _close(found, wanted, 1e-5)
    moved = jax.tree.map(lambda a, b: a - b, found, clean)
    moved = jnp.concatenate(jax.tree.leaves(moved), axis=1)
    np.testing.assert_allclose(
        jnp.sqrt(jnp.square(moved).mean(axis=1)), SCALE * sigma, rtol=1e-4
    )


def _own(toy):
    return (toy.cond.generator,)


def test_a_step_is_the_euler_step_of_its_prediction_and_moves_as_far_as_said(plain):
    toy = guide(plain)
    now, i = _population(toy), 2
    keys = step_keys(KEYS, i)
    found = toy.generator.step(toy.params.generator, keys, now, i, *_own(toy))
    without = plain.generator.step(
        plain.params.generator, keys, now, i, plain.cond.generator
    )
    moved = jax.tree.map(lambda a, b: a - b, found.latents, without.latents)
    moved = jnp.concatenate(jax.tree.leaves(moved), axis=1)
    fall = toy.generator.sigmas[i] - toy.generator.sigmas[i + 1]
    np.testing.assert_allclose(
        jnp.sqrt(jnp.square(moved).mean(axis=1)), SCALE * fall, rtol=1e-3
    )


def test_levels_may_differ_per_part(plain):
    """Each part moves by its own level; the direction is that of all together."""
    levels = tuple({"audio": s**2, "video": s} for s in plain.generator.sigmas)
    split = plain._replace(generator=plain.generator._replace(sigmas=levels))
    i = 2
    one, two = (
        guide(toy).generator.predict(
            share_with_guides(toy.params).generator,
            _population(plain),
            i,
            share_with_guides(toy.cond).generator,
        )
        for toy in (plain, split)
    )
    clean = plain.generator.predict(
        plain.params.generator, _population(plain), i, plain.cond.generator
    )
    _close(one["video"], two["video"], 1e-6)
    shift, smaller = one["audio"] - clean["audio"], two["audio"] - clean["audio"]
    _close(smaller, shift * plain.generator.sigmas[i], 1e-5)


def _sample(toy, keys):
    start = _population(toy, keys)
    params, cond = toy.params.generator, toy.cond.generator
    final, _ = denoise(params, keys, start, cond, generator=toy.generator)
    return final, toy.generator.decode(params, final)


def test_a_clip_does_not_depend_on_its_neighbours(guided):
    sample = jax.jit(functools.partial(_sample, guided))
    four, last = sample(KEYS), sample(KEYS[3:])
    _close(jax.tree.map(lambda x: x[3:], four), last, 1e-6)


def _breaks(limit, slope):
    """Return a guide whose gradient is another one where the sound is louder."""

    def score(params, media, cond):
        loud = media.audio[:, 0]
        return loud * jnp.where(loud > limit, slope, 1)

    return Verifier("breaks", score)


@pytest.mark.parametrize("slope", [np.nan, np.inf, 0.0])
def test_a_gradient_that_leads_nowhere_is_left_out_and_harms_no_other(plain, slope):
    """One candidate goes on as if unguided; the others as if it were not there."""
    start = _population(plain)
    i, params, cond = 1, plain.params.generator, plain.cond.generator
    clean = plain.generator.predict(params, start, i, cond)
    loud = plain.generator.decode(params, start._replace(latents=clean)).audio[:, 0]
    limit = float(jnp.sort(loud)[-2:].mean())
    broken = int(jnp.argmax(loud))
    fine = np.arange(4) != broken
    found, unbroken = (
        guide_by_gradient(plain.generator, [_breaks(each, slope)], SCALE).step(
            Params(params, ((),)),
            step_keys(KEYS, i),
            start,
            i,
            plain.cond._replace(verifiers=((),)),
        )
        for each in (limit, 2.0)
    )
    own = plain.generator.step(params, step_keys(KEYS, i), start, i, cond)
    one, other, alone = found.latents, unbroken.latents, own.latents
    for part in ("audio", "video"):
        np.testing.assert_array_equal(one[part][fine], other[part][fine])
        np.testing.assert_allclose(one[part][broken], alone[part][broken], atol=1e-6)
    # The sound is what the guide looks at.
    assert np.abs(other["audio"] - alone["audio"]).max(axis=1).min() > 1e-3


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_the_size_of_rewards_does_not_matter(plain, size):
    """Squares of such gradients leave float32."""
    settings = {"steps": (1,)}
    one, other = (
        _sample(guide(plain, weights=weights, **settings), KEYS)[0]
        for weights in ((1.0, 0.0), (size, 0.0))
    )
    _close(other.latents, one.latents, 1e-5)


def test_failed_candidates_are_still_excluded(name, plain, search, guided):
    """A clip that a verifier refuses at the end has no reward, guided or not."""
    picture, sound = plain.params.verifiers
    limited = sound | {"limit": jnp.float32(0.2)}
    params = share_with_guides(Params(plain.params.generator, (picture, limited)))
    some = False
    for seed in range(3):
        output = search(name)(params, jax.random.key(seed), guided.cond, None)
        unknown = np.isnan(output.rewards).any(1)
        np.testing.assert_array_equal(output.failed, unknown & output.valid)
        some |= bool(output.best_index >= 0)
        if output.best_index >= 0:
            assert not unknown[output.best_index]
            assert np.isfinite(output.best.audio).all()
    assert some


def test_steps_that_do_not_guide_are_the_generators_own(plain):
    """With its noise; guided ones have none."""

    def noisy(params, keys, candidates, i, cond):
        moved = plain.generator.step(params, keys, candidates, i, cond)
        drawn = jax.vmap(jax.random.normal)(keys)
        latents = jax.tree.map(lambda z: z + drawn[:, None], moved.latents)
        return moved._replace(latents=latents)

    own = plain.generator._replace(step=noisy)
    generator = guide_by_gradient(own, plain.verifiers, SCALE, steps=(2,))
    both = share_with_guides(plain.params), share_with_guides(plain.cond)
    start = _population(plain)
    for i, same in ((1, True), (2, False)):
        keys = step_keys(KEYS, i)
        found = generator.step(
            both[0].generator, keys, start, i, both[1].generator
        ).latents["video"]
        wanted = noisy(plain.params.generator, keys, start, i, plain.cond.generator)
        wanted = wanted.latents["video"]
        assert (np.abs(found - wanted).max() < 1e-6) == same


def test_drafts_take_the_same_weights_and_prompt(guided, plain):
    """Those of the generator, unguided; a guided one is made of the guided."""
    (draft,) = guided.generator.drafts
    (own,) = plain.generator.drafts
    assert draft.evaluations() == own.evaluations() and draft.looks() == (0, 0)
    again = fewer_steps(guided.generator, 2)
    for each in (draft, again):
        output = draft_best_of_n(
            guided.params,
            jax.random.key(0),
            guided.cond,
            generator=guided.generator,
            verifiers=guided.verifiers,
            aggregator=running_mean(),
            draft=each,
            num_candidates=3,
            num_kept=1,
        )
        spent = 3 * each.evaluations() + guided.generator.evaluations()
        assert output.nfe == spent and output.best_index == 0


def test_a_prompt_is_prepared_once_for_generator_and_draft(plain):
    calls = []

    def prepare(params, cond):
        calls.append(cond)
        return cond

    draft = plain.generator.drafts[0]._replace(prepare=prepare)
    generator = plain.generator._replace(prepare=prepare, drafts=(draft,))
    toy = guide(plain._replace(generator=generator), steps=(0,))
    run = SMALL["draft_best_of_n"].bind(toy, running_mean())
    jax.eval_shape(run, toy.params, jax.random.key(0), toy.cond, None)
    # Once for the search, once where drafts are checked, for each of the two.
    assert len(calls) == 3


def test_shared_weights_are_passed_once_and_held_once(plain):
    weights = {"scale": jnp.ones(4096)}

    def heavy(params, media, cond):
        return plain.verifiers[0].score(params["scale"].mean(), media, cond)

    verifiers = (Verifier("heavy", heavy),)
    generator = guide_by_gradient(plain.generator, verifiers, SCALE)
    parts = {"verifiers": verifiers, "aggregator": weighted([1.0])}
    params = Params(plain.params.generator, (weights,))
    cond = plain.cond._replace(verifiers=plain.cond.verifiers[:1])

    def size(search):
        compiled = jax.jit(search).lower(params, jax.random.key(0), cond).compile()
        return compiled.memory_analysis().argument_size_in_bytes

    once = functools.partial(best_of_n, **parts, num_candidates=2)
    own = size(functools.partial(once, generator=plain.generator))
    guided = size(
        lambda params, key, cond: once(
            share_with_guides(params),
            key,
            share_with_guides(cond),
            generator=generator,
        )
    )
    assert guided == own > 4 * 4096
    placed = place_params(share_with_guides(params), make_mesh(num_devices=1))
    assert placed.generator.verifiers[0]["scale"] is placed.verifiers[0]["scale"]


def test_some_verifiers_guide_and_the_encoder_serves_both(plain):
    picture, sound = (
        verifier._replace(encode=lambda prompt, n=n: len(prompt) + n)
        for n, verifier in enumerate(plain.verifiers)
    )
    own = plain.generator._replace(encode=lambda prompt: prompt.upper())
    generator = guide_by_gradient(own, [sound], SCALE)
    assert generator.encode("two") == ("TWO", (4,))
    shared = share_with_guides(plain.params, [1])
    assert shared.generator.verifiers == (plain.params.verifiers[1],)
    assert shared.verifiers == plain.params.verifiers
    assert shared.generator.generator is plain.params.generator
    assert guide_by_gradient(own, [picture, sound], 0).encode("a") == ("A", (1, 2))


def test_the_rules_of_all_weights_find_their_parameters():
    """A rule that finds none is an error; what is split is what was split apart."""
    generator, params = generators.shapes("mini")
    guides, weights = verifiers.load(["mini_tv", "mini_av"])
    guided = guide_by_gradient(generator, guides, SCALE)
    mesh = AbstractMesh((1, 2), ("candidate", "model"))
    pair = Params(params, tuple(weights))
    found = param_shardings(pair, mesh, guided.rules)
    assert found == search_shardings(pair, mesh, generator=generator, verifiers=guides)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"scale": -1.0}, ValueError, "scale must be at least 0 and finite, got -1.0"),
        ({"scale": float("nan")}, ValueError, "scale must be .* got nan"),
        ({"verifiers": ()}, ValueError, "at least one verifier, got none"),
        ({"verifiers": (1,)}, TypeError, "must hold Verifier tuples, got 1"),
        ({"weights": (1.0,)}, ValueError, r"one finite number per verifier \(2\)"),
        ({"weights": (1.0, float("inf"))}, ValueError, r"got \(1.0, inf\)"),
        ({"steps": (4,)}, ValueError, "steps must not go beyond step 3"),
        ({"steps": (2, 1)}, ValueError, "steps must increase strictly"),
        ({"generator": None}, TypeError, "generator must be a Generator"),
    ],
)
def test_what_cannot_guide_is_refused(plain, unchecked, change, error, message):
    given = {
        "generator": plain.generator,
        "verifiers": plain.verifiers,
        "scale": SCALE,
    } | change
    three = [given.pop(name) for name in ("generator", "verifiers", "scale")]
    with pytest.raises(error, match=message):
        guide_by_gradient(*three, **given)


def test_watchers_wrong_places_and_carrying_drafts_are_refused(plain):
    watcher = plain.verifiers[0]._replace(guides=False)
    with pytest.raises(ValueError, match="'picture' only watches"):
        guide_by_gradient(plain.generator, [watcher], SCALE)
    with pytest.raises(ValueError, match=r"guides must lie in \[0, 1\], got \(2,\)"):
        share_with_guides(plain.params, [2])
    predict = plain.generator.predict
    guidance = Guidance(lambda *args: (predict(*args), predict(*args)), predict)
    draft = reuse_guidance(plain.generator, guidance, (0, 2))
    toy = guide(plain._replace(generator=draft))
    with pytest.raises(ValueError, match="must not be a draft that uses again"):
        best_of_n(
            toy.params,
            jax.random.key(0),
            toy.cond,
            generator=toy.generator,
            verifiers=toy.verifiers,
            aggregator=running_mean(),
            num_candidates=2,
        )
