"""Mini as one compiled program: noise, steps, decoding, verifiers, ARW, selection."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avits_jax as avits
from avits_jax.generators.mini.generator import mini
from avits_jax.parallel.flops import count_flops
from avits_jax.text.prompt import precompute_text

PROMPT = "a red circle bounces three times with a bell"
OTHER = "the golden pyramid jumps twice and sounds like a drum"
NAMES = ["mini_tv", "mini_ta", "mini_av"]
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def parts():
    generator, params = avits.generators.load("mini", num_steps=4)
    verifiers, vparams = avits.verifiers.load(NAMES)
    return generator, verifiers, avits.Params(params, vparams)


@pytest.fixture(scope="module")
def build(parts):
    """Make a search of the fixture's parts that counts how often it is traced."""
    generator, verifiers, _ = parts

    def make(num_candidates, **settings):
        traces = []
        aggregator = avits.arw([1.0] * 3, optimizer="closed_form")

        @jax.jit
        def search(weights, key, cond, state):
            traces.append(1)
            return avits.best_of_n(
                weights,
                key,
                cond,
                state,
                generator=generator,
                verifiers=verifiers,
                aggregator=aggregator,
                num_candidates=num_candidates,
                **settings,
            )

        return search, aggregator.init(3), traces

    return make


@pytest.fixture(scope="module")
def whole(parts, build):
    """The search over five candidates with all clips kept, and its output."""
    generator, verifiers, weights = parts
    search, state, traces = build(5, keep_media=True, keep_latents=True)
    cond = avits.encode_prompt(PROMPT, generator, verifiers)
    return search, state, traces, search(weights, KEY, cond, state)


def test_output_has_the_stated_shapes(whole):
    output = whole[-1]
    assert output.best.video.shape == (16, 32, 32, 3)
    assert output.best.audio.shape == (32_000,)
    assert output.rewards.shape == (5, 3) and output.scores.shape == (5,)
    assert not output.failed.any()
    assert int(output.nfe) == 5 * 4 * 2 and int(output.verifier_calls) == 15
    assert 0 <= output.best.video.min() and output.best.video.max() <= 1
    assert np.abs(output.best.audio).max() <= 1
    index = int(output.best_index)
    np.testing.assert_array_equal(output.best.video, output.media.video[index])
    assert index == int(np.argmax(output.scores))


def test_one_compilation_serves_every_prompt(parts, whole):
    generator, verifiers, weights = parts
    search, state, traces, output = whole
    cond = avits.encode_prompt(OTHER, generator, verifiers)
    again = search(weights, jax.random.key(4), cond, output.aggregator_state)
    assert len(traces) == 1 and search._cache_size() == 1
    assert not np.array_equal(again.rewards, output.rewards)


def test_lowered_program_has_no_host_callback(parts, whole):
    generator, verifiers, weights = parts
    cond = avits.encode_prompt(PROMPT, generator, verifiers)
    text = whole[0].lower(weights, KEY, cond, whole[1]).as_text()
    assert text.count("func.func public @main") == 1
    for word in ("callback", "infeed", "outfeed", "send", "recv"):
        assert word not in text
    # Weights are arguments: no large constant is baked in.
    constants = [line for line in text.splitlines() if "stablehlo.constant" in line]
    assert max(map(len, constants), default=0) < 300_000


def test_candidates_do_not_depend_on_their_number_or_on_chunks(parts, build, whole):
    generator, verifiers, weights = parts
    output = whole[-1]
    cond = avits.encode_prompt(PROMPT, generator, verifiers)
    fewer, state, _ = build(3, keep_media=True, candidate_batch=2)
    some = fewer(weights, KEY, cond, state)
    for name in ("video", "audio"):
        got, want = getattr(some.media, name), getattr(output.media, name)[:3]
        np.testing.assert_allclose(got, want, atol=2e-3)
    np.testing.assert_allclose(some.rewards, output.rewards[:3], atol=5e-3, rtol=1e-3)


def test_init_is_bit_for_bit_independent_of_the_population(parts):
    generator, _, weights = parts
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(6))
    cond = jnp.asarray(generator.encode(PROMPT))
    many = generator.init(weights.generator, keys, cond).latents
    few = generator.init(weights.generator, keys[:2], cond).latents
    for name in many:
        np.testing.assert_array_equal(many[name][:2], few[name])


def test_prompt_decides_the_clip(parts, whole):
    """A yellow clip for the yellow prompt, a red one for the red one."""
    generator, verifiers, weights = parts
    search, state, _, output = whole
    cond = avits.encode_prompt(OTHER, generator, verifiers)
    yellow = search(weights, KEY, cond, state).best.video.max(axis=(0, 1, 2))
    red = output.best.video.max(axis=(0, 1, 2))
    assert yellow[1] > red[1] + 0.2


def test_guidance_of_one_costs_half(parts):
    generator, _ = avits.generators.load("mini", num_steps=4, guidance_scale=1.0)
    assert generator.nfe_per_step == 1 and parts[0].nfe_per_step == 2


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_operations_of_an_evaluation_are_those_of_the_program(parts, scale):
    """The text is read once for all: it drops out of the difference."""
    made, params = mini(guidance_scale=scale), parts[2].generator
    cond = jnp.asarray(made.encode(PROMPT))

    def count(num):
        keys = jax.random.split(KEY, num)
        start = jax.eval_shape(made.init, params, keys, cond)
        return count_flops(jax.make_jaxpr(made.predict)(params, start, 0, cond))

    assert made.flops_per_evaluation * made.nfe_per_step == count(3) - count(2)


def test_operations_of_a_draft_are_those_of_steps_with_and_without_blocks(parts):
    made, params = mini(), parts[2].generator
    draft, cond = made.drafts[-1], jnp.asarray(made.encode(PROMPT))

    def count(num):
        """Operations of a step without blocks, and of one with them."""
        keys = jax.random.split(KEY, num)
        start = jax.eval_shape(draft.init, params, keys, cond)
        program = jax.make_jaxpr(draft.predict)(params, start, 0, cond)
        (choice,) = (each for each in program.eqns if each.primitive.name == "cond")
        return np.array(sorted(map(count_flops, choice.params["branches"])))

    without, full = count(3) - count(2)
    num_full = sum(nfe > 0 for nfe in draft.nfe_per_step)
    whole = num_full * full + (draft.num_steps - num_full) * without
    assert 0 < without < full / 10
    assert whole == pytest.approx(draft.evaluations() * draft.flops_per_evaluation)


def test_a_generator_without_text_tower_is_left_as_it_is(parts):
    made, params = parts[0], parts[2].generator
    assert precompute_text(made, params, "cond") == (params, "cond")


def test_unguided_prediction_is_the_limit_of_guidance(parts):
    _, _, weights = parts
    cond = jnp.asarray(parts[0].encode(PROMPT))
    one, nearly = mini(guidance_scale=1.0), mini(guidance_scale=1.0 + 1e-6)
    keys = jax.random.split(KEY, 2)
    candidates = one.init(weights.generator, keys, cond)
    found = [
        jax.jit(partial(g.predict, i=0, cond=cond))(weights.generator, candidates)
        for g in (one, nearly)
    ]
    for name in ("video", "audio"):
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_steps": 0}, "num_steps"),
        ({"guidance_scale": -1.0}, "guidance_scale"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
    ],
)
def test_bad_options_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        avits.generators.load("mini", **options)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'mini'"):
        avits.generators.load("minni")
    with pytest.raises(ValueError, match="did you mean 'mini_tv'"):
        avits.verifiers.load(["mini_tw"])
    with pytest.raises(ValueError, match="names"):
        avits.verifiers.load([])


def test_broken_weights_fail_every_candidate(parts, whole):
    generator, verifiers, weights = parts
    search, state, _, _ = whole
    broken = jax.tree.map(lambda x: x * jnp.nan, weights.verifiers[1])
    judges = (weights.verifiers[0], broken, weights.verifiers[2])
    cond = avits.encode_prompt(PROMPT, generator, verifiers)
    output = search(weights._replace(verifiers=judges), KEY, cond, state)
    assert output.failed.all() and int(output.best_index) == -1
    assert np.isneginf(output.scores).all()
    chex.assert_trees_all_equal(output.aggregator_state, state)
