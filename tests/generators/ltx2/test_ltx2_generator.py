"""LTX-2 as a generator: independence of candidates, given pictures, two stages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_ltx2 import condition, jit, keys, params, prompt, states, tiny

from avits_jax.generators.ltx2 import conditioning, load
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.given import encode_sound
from avits_jax.generators.ltx2.networks import networks
from avits_jax.generators.ltx2.refiner import StageChoices
from avits_jax.generators.ltx2.sizes import clip_sizes
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.sampling import repeat_rows
from avits_jax.sampling.denoise import denoise
from avits_jax.types import Candidates

MODEL = load.MODEL
CLIP = clip_sizes((32, 64), 9)


def _run(generator, weights, some, cond):
    """Latents at the end of a run."""
    start = generator.init(weights, some, cond)
    return denoise(weights, some, start, cond, generator=generator)[0].latents


run = jit(functools.partial(_run, tiny()))
predict = jit(
    lambda weights, candidates, i, cond: tiny().predict(weights, candidates, i, cond)
)


@functools.cache
def three() -> Streams:
    """Three candidates."""
    return run(params(), keys(3), condition())


def _close(found, expected, atol=1e-4):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=atol, rtol=1e-4)


def test_a_candidate_does_not_depend_on_its_neighbours():
    alone = run(params(), keys(3)[2:], condition())
    _close(jax.tree.map(lambda x: x[2:], three()), alone)
    assert np.abs(three().video[0] - three().video[2]).max() > 0.1


def test_prompts_under_vmap_are_prompts_in_a_loop():
    both = jax.tree.map(lambda *x: jnp.stack(x), states(0), states(1))

    def one(weights, some, cond):
        return _run(tiny(), weights, some, tiny().prepare(weights, cond))

    together = jit(jax.vmap(one, (None, None, 0)))(params(), keys(3), both)
    for index in range(2):
        alone = run(params(), keys(3), condition(index))
        _close([x[index] for x in together], alone)
    assert np.abs(together.video[0] - together.video[1]).max() > 1e-3


def test_a_failed_candidate_stays_alone():
    start = Candidates(three())
    spoiled = jax.tree.map(lambda x: x.at[1].set(jnp.nan), three())
    found = predict(params(), Candidates(spoiled), 0, condition())
    expected = predict(params(), start, 0, condition())
    _close(*(jax.tree.map(lambda x: x[::2], each) for each in (found, expected)))
    assert np.isnan(found.video[1]).all()


def test_clips_are_decoded_in_pieces_or_at_once():
    weights = params()._replace(text=(), transformer=())
    pieces = jit(tiny().decode)(weights, Candidates(three()))
    whole = jit(tiny(decode_batch=3).decode)(weights, Candidates(three()))
    _close(pieces, whole, atol=1e-3)
    assert pieces.video.shape == (3, 9, 32, 64, 3)
    assert tiny().sample_rate == 48_000 and pieces.audio.shape[:2] == (3, 2)
    assert 0 <= pieces.video.min() and pieces.video.max() <= 1
    assert np.abs(pieces.audio).max() <= 1 and pieces.audio.std() > 0


def test_a_small_decoder_shows_clips_on_the_way():
    made = tiny(preview_decoder=True)
    weights = params()._replace(text=(), transformer=(), video_decoder=())
    seen = jit(made.preview)(weights, Candidates(three()))
    assert seen.video.shape == (3, 9, 32, 64, 3)
    assert tiny().preview is None


def test_drafts_begin_with_the_noise_of_the_clip():
    # Every second step, unguided, both of it, guided now and then, blocks used again.
    drafts = tiny(num_steps=4).drafts
    assert [draft.evaluations() for draft in drafts] == [8, 4, 2, 7, 8]
    whole = tiny().init(params(), keys(2), condition())
    for draft in drafts[:3]:
        _close(draft.init(params(), keys(2), condition()).latents, whole.latents, 0)


def test_blocks_that_are_used_again_change_nothing_at_the_same_place():
    graphs, _ = networks(Networks(**MODEL.reduced))
    branches = Branch(), Branch(isolated=True), Branch(perturbed=True)
    level = jnp.full((1, 1), 0.7)

    def both(weights, latents, cond):
        model = nnx.merge(graphs.transformer, weights)
        rows = repeat_rows(latents, len(branches))
        sizes = Streams(level, level), None, Streams(level[0], level[0])
        run = rows, *sizes, cond.context, cond.tables
        velocities, added = model.reuse(*run, branches=branches)
        again, _ = model.reuse(*run, branches=branches, added=added)
        return velocities, again, model(*run, branches=branches)

    found = jit(both)(params().transformer, three(), condition())
    _close(found[0], found[1])
    _close(found[0], found[2], atol=0)


def test_texts_are_read_before_or_within():
    made = jit(tiny().prepare)(params(), prompt())
    for one, other in zip(*map(jax.tree.leaves, (made, condition())), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    with pytest.raises(ValueError, match="no weights of the text encoder"):
        tiny().prepare(params()._replace(text=()), prompt())
    with pytest.raises(ValueError, match="needs a negative prompt"):
        one = jax.tree.map(lambda x: x[:1], states())
        tiny().prepare(params(), one)


def _with_given(given) -> tuple:
    cond = jit(tiny().prepare)(params(), states()._replace(given=given))
    return cond, run(params(), keys(3), cond)


def test_a_clip_begins_with_its_picture():
    image = jnp.asarray(np.random.default_rng(0).uniform(size=(32, 64, 3)), jnp.float32)
    begun = jit(tiny().with_image)(params(), states(), image)
    cond, latents = _with_given(begun.given)
    first = begun.given.clean.video[: CLIP.frame_tokens]
    found = latents.video[:, : CLIP.frame_tokens]
    _close(found, np.broadcast_to(first, found.shape))
    # Mutation moves all tokens; the network sees what is given all the same.
    moved = Candidates(jax.tree.map(lambda x: x + 1, latents))
    clean = predict(params(), moved, 1, cond)
    _close(clean.video[:, : CLIP.frame_tokens], found)
    assert np.abs(clean.video - latents.video).max() > 0.1


def test_a_keyframe_is_appended_and_cut_off():
    config = MODEL.reduced["transformer"]
    picture = jnp.ones((1, 1, 2, 128))
    given = conditioning.nothing_given(CLIP, config)
    given = conditioning.with_keyframe(given, CLIP, config, picture, frame=8)
    cond, latents = _with_given(given)
    assert latents.video.shape[1] == CLIP.video_tokens + CLIP.frame_tokens
    _close(latents.video[:, CLIP.video_tokens :], jnp.ones((3, CLIP.frame_tokens, 128)))
    start = jit(tiny().init)(params(), keys(3), cond).latents
    plain = jit(tiny().init)(params(), keys(3), condition()).latents
    _close(start.video[:, : CLIP.video_tokens], plain.video, atol=0)
    assert np.abs(latents.video[:, : CLIP.video_tokens] - three().video).max() > 1e-3
    weights = params()._replace(text=(), transformer=())
    shapes = jax.eval_shape(tiny().decode, weights, Candidates(latents))
    assert shapes.video.shape == (3, 9, 32, 64, 3)


def test_a_sound_that_is_given_stays():
    graphs, _ = networks(Networks(**MODEL.reduced))
    sound = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8000)) * 0.1)
    encode = jit(lambda weights, x: encode_sound(weights, graphs, CLIP, x, 16_000))
    tokens = encode(params(), sound.astype(jnp.float32))
    given = conditioning.nothing_given(CLIP, MODEL.reduced["transformer"])
    _, latents = _with_given(conditioning.with_audio(given, tokens))
    _close(latents.audio, np.broadcast_to(tokens, latents.audio.shape))
    with pytest.raises(ValueError, match="too short"):
        encode_sound(params(), graphs, CLIP, sound[:, :2000], 16_000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, c: conditioning.with_frames(g, CLIP, c, latent_frame=2), "cannot"),
        (lambda g, c: conditioning.with_frames(g, CLIP, c, strength=0.0), "strength"),
        (lambda g, c: conditioning.with_audio(g, c[0, 0]), "audio tokens"),
    ],
)
def test_what_cannot_be_given_is_refused(call, message):
    given = conditioning.nothing_given(CLIP, MODEL.reduced["transformer"])
    with pytest.raises(ValueError, match=message):
        call(given, jnp.zeros((1, 1, 2, 128)))


def _refined(**options):
    asked = load.Options(resolution="64x128", duration=9, **options)
    refiner = load.make_refiner(MODEL.reduced, None, asked, reduced=True)

    def both(weights, some, candidates, cond):
        generator = refiner.generator
        cond = generator.prepare(weights, cond)
        begun = refiner.start(weights, some, candidates, cond)
        return begun, denoise(weights, some, begun, cond, generator=generator)[0]

    return refiner, jit(both)


def test_finished_candidates_are_refined_at_twice_the_size():
    refiner, both = _refined(refined_audio="stage1")
    assert refiner.generator.nfe_per_step == 1 and refiner.generator.num_steps == 3
    weights = params()._replace(text=())
    begun, done = both(weights, keys(3), Candidates(three()), states())
    assert begun.latents.video.shape == (3, 4 * CLIP.video_tokens, 128)
    assert done.latents.audio.shape == three().audio.shape
    _close(done.extra.audio, three().audio, atol=0)
    assert np.isfinite(done.latents.video).all()
    alone, _ = both(
        weights,
        keys(3)[1:2],
        Candidates(jax.tree.map(lambda x: x[1:2], three())),
        states(),
    )
    _close(jax.tree.map(lambda x: x[1:2], begun.latents), alone.latents)


def test_candidates_of_another_size_are_not_refined():
    options = load.Options(resolution="64x64", duration=9)
    refiner = load.make_refiner(MODEL.reduced, None, options, reduced=True)

    def begin(weights, some, cond):
        larger = tiny(resolution="64x64").init(weights, some, cond)
        return refiner.start(weights, some, larger, cond)

    cond = condition()
    with pytest.raises(ValueError, match="refines clips of 32x32 and 9 frames, of 2 "):
        jax.eval_shape(begin, params(), keys(1), cond)


def test_words_that_name_no_choice_are_refused():
    with pytest.raises(ValueError, match="audio is 'both'"):
        StageChoices(audio="both").check()
    with pytest.raises(ValueError, match="positions is 'half'"):
        tiny(positions="half")
    with pytest.raises(ValueError, match="decode_batch is 0"):
        tiny(decode_batch=0)
    with pytest.raises(ValueError, match="schedule_tokens is 0"):
        tiny(schedule_tokens=0)


def test_distilled_weights_take_no_guidance():
    made = load.make_distilled(MODEL.reduced, None, load.Options(), reduced=True)
    assert made.nfe_per_step == 1 and made.num_steps == 8
    assert len(made.drafts) >= 1
    with pytest.raises(ValueError, match="guidance_scale is 2.0, but distilled"):
        options = load.Options(guidance_scale=2.0)
        load.make_distilled(MODEL.reduced, None, options, reduced=True)


def test_networks_that_do_not_fit_are_refused():
    wrong = {**MODEL.reduced, "upsampler": MODEL.parts[7].config.__class__(channels=64)}
    with pytest.raises(ValueError, match=r"upsampler\.channels is 64, expected 128"):
        load.make(wrong, None, load.Options(), reduced=True)
    without = {**MODEL.reduced, "preview": (), "upsampler": (), "video_encoder": ()}
    with pytest.raises(ValueError, match="has no small decoder"):
        load.make(without, None, load.Options(preview_decoder=True), reduced=True)
    with pytest.raises(ValueError, match="checkpoint has no upsampler"):
        load.make_refiner(without, None, load.Options(), reduced=True)
    assert load.make(without, None, load.Options(), reduced=True).with_image is None
