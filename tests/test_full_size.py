"""Whole searches at full size, by their shapes alone: no weights, nothing compiled."""

import functools

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import pytest

import avits_jax as avits
from avits_jax.parallel.flops import count_flops
from tools import full_size

_CHEAP = (full_size.BRIGHTNESS,)
_JUDGES = ("javis_score", "video_reward")
# 240p, 9:16, 4 s: frames, height, width; samples at 16 kHz.
_VIDEO, _AUDIO = (102, 240, 424, 3), (68_000,)
_NEEDED_STEP = 8.326e13


@pytest.fixture(scope="module")
def model():
    return full_size.javisdit(text_states=True)


def trace_search(model, names, num_candidates):
    """Best-of-N with ARW, traced for one candidate of the model's full size."""
    judges = full_size.judges(names, model.made)
    aggregator = avits.arw([1.0] * len(judges))
    search = functools.partial(
        avits.best_of_n,
        generator=model.made,
        verifiers=[each.made for each in judges],
        aggregator=aggregator,
        num_candidates=num_candidates,
    )
    return jax.jit(search).trace(
        avits.Params(model.params, tuple(each.params for each in judges)),
        full_size.shapes(jax.random.key(0)),
        avits.Cond(model.cond, tuple(each.cond for each in judges)),
        full_size.shapes(aggregator.init(len(judges))),
    )


def test_best_of_n_from_text_states_to_clips_lowers_for_a_gpu(model):
    traced = trace_search(model, _CHEAP, 5)
    output = jax.tree.unflatten(
        jax.tree.structure(traced.out_info),
        [leaf.shape for leaf in jax.tree.leaves(traced.out_info)],
    )
    assert output.best == avits.Media(_VIDEO, _AUDIO)
    assert output.rewards == (5, 1)
    assert model.made.num_steps == 30
    # All denoising steps of all candidates, and then some for decoding.
    assert 1.0 < count_flops(traced.jaxpr) / (5 * 30 * _NEEDED_STEP) < 1.1
    program = traced.lower(lowering_platforms=("cuda",))
    assert "30" in program.as_text() and "bf16" in program.as_text()


def test_the_text_encoder_runs_inside_the_program_and_lowers():
    model = full_size.javisdit(duration="2s")
    assert model.cond.text.shape == (300,) and model.cond.text.dtype == jnp.int32
    prepare = jax.jit(model.made.prepare).trace(model.params, model.cond)
    assert jax.tree.leaves(prepare.out_info)[0].dtype == jnp.bfloat16
    prepare.lower(lowering_platforms=("cuda",))


@pytest.mark.slow  # the whole program below lowers them as well
def test_verifiers_on_full_size_clips_lower_for_a_gpu():
    clips = full_size.clips()
    traced = trace_search(clips, _JUDGES, 4)
    assert traced.out_info.rewards.shape == (4, 2)
    assert traced.out_info.rewards.dtype == jnp.float32
    traced.lower(lowering_platforms=("cuda",))


def test_generator_verifiers_and_arw_lower_as_one_program(model):
    traced = trace_search(model, _JUDGES, 5)
    assert traced.out_info.rewards.shape == (5, 2)
    traced.lower(lowering_platforms=("cuda",))


@pytest.mark.slow  # traces every network of every family, some seconds each
def test_every_verifier_takes_full_size_clips():
    clips = full_size.clips()
    names = [info.name for info in avits.verifiers.available()]
    names = [name for name in names if not name.startswith("mini_")]
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    media = jax.eval_shape(lambda keys: clips.made.init((), keys, ()).latents, keys)
    assert media.video.shape == (2, *_VIDEO) and media.audio.shape == (2, *_AUDIO)
    for each in full_size.judges(names, clips.made):
        reward = jax.eval_shape(each.made.score, each.params, media, each.cond)
        assert reward.shape == (2,) and reward.dtype == jnp.float32, each.made.name
        has_weights = bool(jax.tree.leaves(each.params))
        assert bool(each.made.rules) == has_weights, each.made.name


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="resolution is '241p'; supported are"):
        full_size.clips(resolution="241p")
