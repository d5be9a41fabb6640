"""JavisDiT as a generator: parity, independence of candidates, full size by shapes."""

import functools
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from goldens import golden_cases
from tiny_javisdit import CONFIG, Tiny, jit, tiny

from avits_jax.generators.javisdit import generator as javis
from avits_jax.generators.javisdit import guidance, sizes
from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.generator import PUBLISHED, EncodedPrompt
from avits_jax.generators.javisdit.guidance import Latents
from avits_jax.generators.javisdit.modeling import Context, couple_rows
from avits_jax.generators.javisdit.tiny import TINY
from avits_jax.nn.positions import positions_1d
from avits_jax.parallel.flops import count_flops
from avits_jax.sampling.masks import Given, active_frames, enter_frames
from avits_jax.text.prompt import precompute_text
from avits_jax.weights.network import as_dtype
from tools.javisdit_precision import FLOAT32, trajectory
from tools.verifier_flops import used_jaxpr

PROMPTS = ("a dog barks", "rain on a roof, thunder")


def _denoise(params, keys, cond):
    """Prepared prompt to latents."""
    generator = tiny().generator
    candidates = generator.init(params, keys, cond)

    def body(candidates, i):
        return generator.step(params, keys, candidates, i, cond), None

    return jax.lax.scan(body, candidates, jnp.arange(generator.num_steps))[0].latents


denoise, prepare = jit(_denoise), jit(lambda p, c: tiny().generator.prepare(p, c))


def _prompt(index: int = 0) -> EncodedPrompt:
    return tiny().generator.encode(PROMPTS[index])


@functools.cache
def _cond(index: int = 0) -> javis.Condition:
    return prepare(tiny().params, _prompt(index))


def _keys(count: int):
    keys = jax.vmap(jax.random.fold_in, (None, 0))
    return keys(jax.random.key(3), jnp.arange(count))


@functools.cache
def _three() -> Latents:
    return denoise(tiny().params, _keys(3), _cond())


def _assert_close(found, expected, atol=1e-3):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=atol, rtol=1e-3)


def test_by_default_it_is_the_original_making_one_candidate():
    golden = golden_cases("javisdit", "sample4_n1")[0].values[0]
    found = trajectory(golden, "float32")
    for stream, latents in found.items():
        expected = golden.outputs[stream]
        np.testing.assert_allclose(latents, expected, atol=5e-4, rtol=1e-3)


def test_a_candidate_does_not_depend_on_its_neighbours():
    alone = denoise(tiny().params, _keys(3)[2:], _cond())
    _assert_close(jax.tree.map(lambda x: x[2:], _three()), alone)
    assert np.abs(_three().video[0] - _three().video[2]).max() > 0.1


def test_prompts_under_vmap_are_prompts_in_a_loop():
    keys = _keys(3)[2:]
    both = jax.tree.map(lambda *x: jnp.stack(x), _prompt(0), _prompt(1))

    def run(params, keys, prompt):
        return _denoise(params, keys, tiny().generator.prepare(params, prompt))

    together = jit(jax.vmap(run, (None, None, 0)))(tiny().params, keys, both)
    for index in range(2):
        alone = denoise(tiny().params, keys, _cond(index))
        _assert_close([x[index] for x in together], alone)
    assert np.abs(together.video[0] - together.video[1]).max() > 0.01


def test_pairs_of_rows_see_what_the_original_sees_of_one_candidate(unchecked):
    def rows(count):
        shape = (3, count, 5, 2, 8)
        return {"video": np.arange(np.prod(shape)).reshape(shape)}

    pairs = couple_rows(rows(4), "candidate")["video"]
    for index in range(2):
        pair = {"video": rows(4)["video"][:, 2 * index : 2 * index + 2]}
        alone = couple_rows(pair, "batch")["video"]
        np.testing.assert_array_equal(pairs[:, index : index + 1], alone)
    apart = couple_rows(rows(4), "separate")["video"]
    np.testing.assert_array_equal(apart, rows(4)["video"])
    assert couple_rows(rows(4), "batch")["video"].shape == (3, 1, 20, 2, 8)


@pytest.mark.parametrize("scope", ["candidate", "separate"])
def test_operations_of_an_evaluation_are_those_of_the_program(scope):
    made, params = tiny(prior_scope=scope).generator, tiny().params
    cond = jax.eval_shape(made.prepare, params, _prompt())
    start = jax.eval_shape(made.init, params, _keys(3), cond)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    counted = count_flops(used_jaxpr(made.predict, params, start, step, cond))
    assert counted == 3 * made.nfe_per_step * made.flops_per_evaluation
    assert tiny(prior_scope="batch").generator.flops_per_evaluation is None


@pytest.mark.parametrize("scope", ["candidate", "separate"])
def test_operations_of_a_draft_are_those_of_steps_with_and_without_levels(scope):
    made, params = tiny(num_steps=5, prior_scope=scope).generator, tiny().params
    draft = made.drafts[-1]
    cond = jax.eval_shape(draft.prepare, params, _prompt())
    start = jax.eval_shape(draft.init, params, _keys(3), cond)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    used = used_jaxpr(draft.predict, params, start, step, cond)
    (choice,) = (each for each in used.eqns if each.primitive.name == "cond")
    without, full = sorted(map(count_flops, choice.params["branches"]))
    num_full = sum(nfe > 0 for nfe in draft.nfe_per_step)
    whole = num_full * full + (draft.num_steps - num_full) * without
    assert 0 < without < full / 10
    assert whole == pytest.approx(3 * draft.evaluations() * draft.flops_per_evaluation)


def test_texts_may_come_as_states():
    made, params, graphs, _ = tiny()
    prompt, without = _prompt(), params._replace(t5=())
    ids_to_states = jit(lambda p, c: javis.text_states(p, graphs, c.text, c.text_mask))
    states = prompt._replace(text=ids_to_states(params.t5, prompt))
    chex.assert_trees_all_close(prepare(without, states), _cond(), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="no weights of T5"):
        made.prepare(without, prompt)


def _guided(made: Tiny):
    """A function of a prompt: T5 states, rows with and without it, after a step."""
    generator, params, graphs, clip = made
    keys = _keys(2)

    def run(params, prompt):
        states = javis.text_states(params.t5, graphs, prompt.text, prompt.text_mask)
        cond = generator.prepare(params, prompt)
        start = generator.init(params, keys, cond)
        priors = couple_rows(javis.by_row(start.extra), "candidate")
        rows, _ = guidance.paired_predictions(
            nnx.merge(graphs.transformer, params.transformer),
            start.latents,
            jnp.float32(700.0),
            Context(cond.text, cond.text_mask, priors),
            guidance.ClipInfo(generator.fps, clip.height, clip.width),
        )
        after = generator.step(params, keys, start, jnp.int32(0), cond)
        return states, rows, after.latents

    return functools.partial(jit(run), params)


def test_a_text_in_its_bucket_is_the_same_as_one_padded_to_the_end():
    made = tiny(config=TINY)
    encode, guided = made.generator.encode, _guided(made)
    long = "rain falls on the roof " * 13
    for text, length in (("a dog barks", 64), (long, 128)):
        bucket, whole = encode(text), replace(encode, bucket=None)(text)
        assert bucket.text.shape == (length,) and whole.text.shape == (300,)
        states, *found = guided(bucket)
        expected, *rest = guided(whole)
        tokens = slice(int(bucket.text_mask.sum()))
        # Two programs: equal up to the rounding of float32.
        close = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-5)
        close((states[tokens], found), (expected[tokens], rest))
        rows = found[0].video
        assert np.abs(rows[::2] - rows[1::2]).max() > 0.01  # the prompt is seen


def test_the_text_tower_runs_once_and_stays_out_of_the_search():
    made, params = tiny().generator, tiny().params
    without, states = precompute_text(made, params, _prompt())
    assert not jax.tree.leaves(without.t5) and states.text.ndim == 2
    assert jax.tree.leaves(without.transformer) == jax.tree.leaves(params.transformer)
    found = denoise(without, _keys(3), prepare(without, states))
    # Two programs: equal up to the rounding of float32.
    for one, other in zip(found, _three(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    # Once more: states stay states, and there is nothing left to take out.
    again, same = precompute_text(made, without, states)
    jax.tree.map(np.testing.assert_array_equal, (again, same), (without, states))


@functools.cache
def _given(video: tuple, audio: tuple) -> tuple[Latents, Latents, Latents]:
    """A clip, such masks of it (repeated over the sound), two candidates made so."""
    sizes_of = tiny().clip
    rng = np.random.default_rng(5)

    def values(shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    count = sizes_of.audio_latent[0]
    masks = Latents(jnp.asarray(video), jnp.resize(jnp.asarray(audio), count))
    clean = Latents(values(sizes_of.video_latent), values(sizes_of.audio_latent))
    given = Given(clean, masks)
    passed = jax.eval_shape(
        tiny().generator.prepare, tiny().params, _prompt()._replace(given=given)
    )
    assert jax.tree.map(jnp.shape, passed.given) == jax.tree.map(jnp.shape, given)
    cond = _cond()._replace(given=given)
    return clean, masks, denoise(tiny().params, _keys(2), cond)


def test_a_mask_of_ones_is_no_mask():
    found = _given((1.0, 1.0), (1.0,))[2]
    _assert_close(found, jax.tree.map(lambda x: x[:2], _three()))


def test_given_frames_stay_exactly_as_given():
    clean, masks, found = _given((0.0, 1.0), (0.0,) * 4 + (0.5,) * 4)
    for given, mask, latents in zip(clean, masks, found, strict=True):
        for candidate in latents:
            np.testing.assert_array_equal(candidate[mask == 0], given[mask == 0])
            assert (candidate[mask > 0] != given[mask > 0]).all()
    free = _three().video[:2, 1]
    assert np.abs(found.video[:, 1] - free).max() > 0.01  # it sees what is given


def test_partly_given_frames_enter_from_their_own_noise():
    """At sigma 0.5 the second of two steps begins below the mask's level."""
    _, masks, found = _given((0.0, 1.0), (0.0,) * 4 + (0.5,) * 4)
    entered = np.asarray(found.audio)[:, np.asarray(masks.audio) == 0.5]
    assert np.abs(entered[0] - entered[1]).max() > 0.1


def test_masked_updates_differ_only_where_frames_enter():
    masks = Latents(jnp.array([[0.0, 0.5, 1.0]]), jnp.array([[1.0, 1.0]]))
    z = Latents(jnp.ones((1, 3, 1, 1, 1)), jnp.ones((1, 2, 1, 1)))
    noise = jax.tree.map(lambda x: 3 * x, z)
    step = jnp.float32(0.1)
    active = active_frames(masks, 0.4)
    entered = enter_frames(z, noise, masks, 0.4, 0.6)
    still = jax.tree.map(jnp.zeros_like, z)
    mended = guidance.masked_update(z, entered, still, active, step)
    dropped = guidance.masked_update(z, entered, still, active, step, "reference")
    np.testing.assert_allclose(mended.video[0, :, 0, 0, 0], [1.0, 1.8, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(dropped.video, z.video)


def test_reference_precision_rounds_what_the_original_rounds():
    reference, _ = javis.networks(CONFIG, "reference")
    params = tiny().params.transformer
    exact = nnx.merge(tiny().graphs.transformer, params)
    rounded = nnx.merge(reference.transformer, params)
    fps = jnp.array([24.0])
    found = rounded.condition(jnp.array([990.02]), fps)
    np.testing.assert_array_equal(found, exact.condition(jnp.array([992.0]), fps))
    frequency = 10_000.0 ** (-np.arange(4, dtype=np.float32) / 4)
    sines = positions_1d(2, 8, rounded=True)[1, :4]
    half = frequency.astype(jnp.bfloat16).astype(np.float32)
    np.testing.assert_allclose(sines, np.sin(half), rtol=1e-6)
    sound = jnp.zeros((1, *tiny().clip.audio_latent))
    shift = rounded.embed_audio(sound) - exact.embed_audio(sound)
    assert 1e-4 < np.abs(shift).max() < 0.1


def test_in_bfloat16_what_matters_is_float32():
    _, params, graphs, clip = tiny()
    half = Networks(
        *(
            as_dtype(jax.eval_shape(lambda x=part: x), "bfloat16", FLOAT32)
            for part in params
        )
    )

    def run(params, latents, level):
        model = nnx.merge(graphs.transformer, params.transformer)
        priors = jnp.zeros((2, 4, 16))
        context = model.prepare(jnp.zeros((2, 64, 32)), None, priors, priors)
        condition = model.condition(level, level)
        info = {"fps": level, "height": 16.0, "width": 24.0}
        outputs, kept = model.trace(*latents, level, context, **info)
        return condition, model.modulations(condition), outputs, kept["exchange_video"]

    latents = Latents(
        jnp.zeros((2, *clip.video_latent)), jnp.zeros((2, *clip.audio_latent))
    )
    *exact, tokens = jax.eval_shape(run, half, latents, jnp.ones(2))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(exact)} == {"float32"}
    assert tokens.dtype == jnp.bfloat16
    made = tiny().generator
    cond = jax.eval_shape(made.prepare, half, _prompt())
    start = jax.eval_shape(made.init, half, _keys(1), cond)
    after = jax.eval_shape(made.step, half, _keys(1), start, jnp.int32(0), cond)
    media = jax.eval_shape(made.decode, half, after)
    kinds = {x.dtype.name for x in jax.tree.leaves((after.latents, media, cond.prior))}
    assert kinds == {"float32"}
    assert cond.text["video_spatial"].key.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "options, message",
    [
        ({"prior_scope": "all"}, "'all'.*candidate"),
        ({"mask_update": "fixed"}, "'fixed'.*mended"),
        ({"decode_batch": 0}, "decode_batch is 0"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"precision": "half"}, "'half'.*reference"),
    ],
)
def test_unknown_options_are_refused(unchecked, options, message):
    clip = sizes.clip_sizes(240, 426, 51)
    with pytest.raises(ValueError, match=message):
        javis.javisdit(PUBLISHED, clip, **options)


def test_texts_that_come_as_states_are_the_same_to_all_that_follows():
    """Whole searches at full size, from either, are in tests/test_full_size.py."""
    _, params = javis.networks(CONFIG)
    made = javis.javisdit(CONFIG, sizes.clip_sizes(48, 64, 17))
    length, width = CONFIG.transformer.text_length, CONFIG.t5.d_model
    prompt = EncodedPrompt(
        jax.ShapeDtypeStruct((length,), jnp.int32),
        jax.ShapeDtypeStruct((length,), bool),
        jax.ShapeDtypeStruct((77,), jnp.int32),
    )
    states = prompt._replace(text=jax.ShapeDtypeStruct((length, width), jnp.float32))
    found, expected = (
        jax.eval_shape(made.prepare, *arguments)
        for arguments in ((params._replace(t5=()), states), (params, prompt))
    )
    assert found == expected
