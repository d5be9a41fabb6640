"""Whole searches at full size as a machine with a CUDA GPU makes them, from shapes.

There are no weights, nothing is compiled, and no card or CUDA package is needed.
"""

import functools
import re

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import pytest

import avits_jax as avits
from avits_jax.parallel.flops import count_flops
from tools import full_size
from tools.absent_gpu import absent_gpu

_JUDGES = ("javis_score", "video_reward")
# 240p, 9:16, 4 s: frames, height, width; samples at 16 kHz.
_VIDEO, _AUDIO = (102, 240, 424, 3), (68_000,)
_NEEDED_STEP = 8.326e13
# A guided step of LTX-2.3, and what decodes a clip and its sound.
_LTX_STEP, _LTX_DECODE = 7.82e14, 1.189e14


@pytest.fixture(autouse=True)
def on_a_gpu():
    """Trace and lower as where there is a CUDA GPU: JAX checks what cuDNN is handed."""
    with absent_gpu():
        yield


@pytest.fixture(scope="module")
def model():
    return full_size.javisdit()


def trace_search(model, judges, num_candidates, search=avits.best_of_n, **sizes):
    """A search with ARW, traced for candidates of the model's full size."""
    aggregator = avits.arw([1.0] * len(judges))
    bound = functools.partial(
        search,
        generator=model.made,
        verifiers=[each.made for each in judges],
        aggregator=aggregator,
        num_candidates=num_candidates,
        **sizes,
    )
    return jax.jit(bound).trace(
        avits.Params(model.params, tuple(each.params for each in judges)),
        full_size.shapes(jax.random.key(0)),
        avits.Cond(model.cond, tuple(each.cond for each in judges)),
        full_size.shapes(aggregator.init(len(judges))),
    )


def cudnn_masks(traced):
    """The kinds of masks that are told to cuDNN in the program for a CUDA GPU."""
    return find_masks(traced.lower(lowering_platforms=("cuda",)).as_text())


def find_masks(text):
    """The kinds of masks in the text of a lowered program."""
    assert "fmhaScaleBias" not in text, "a mask is handed over as a dense bias"
    return re.findall(r"fmhaSoftmax.*?mask_type[^A-Z]*22([A-Z_]+)", text)


def test_from_token_ids_to_the_best_clip_as_one_program(model):
    assert model.made.num_steps == 30
    assert model.cond.text.shape == (300,) and model.cond.text.dtype == jnp.int32
    traced = trace_search(model, full_size.judges(_JUDGES, model.made), 5)
    output = jax.tree.unflatten(
        jax.tree.structure(traced.out_info),
        [leaf.shape for leaf in jax.tree.leaves(traced.out_info)],
    )
    assert output.best == avits.Media(_VIDEO, _AUDIO)
    assert output.rewards == (5, 2)
    # All denoising steps of all candidates, and then some for text, decoding, judging.
    assert 1.0 < count_flops(traced.jaxpr) / (5 * 30 * _NEEDED_STEP) < 1.1
    masks = cudnn_masks(traced)
    assert masks.count("PADDING") >= 4, "text of both streams, in both blocks of each"
    assert masks.count("CAUSAL") >= 2, "text of the prior; Qwen2"
    # In a level of the transformer 4 self, 4 prior, 2 exchange; 4 in the prior's
    # network; the vision of Qwen2 and ImageBind, and its sound.
    assert masks.count("NO_MASK") >= 16


def test_a_prompt_in_t5_states_needs_no_t5():
    model = full_size.javisdit(text_states=True, duration="2s")
    prepare = jax.jit(model.made.prepare).trace(model.params, model.cond)
    assert jax.tree.leaves(prepare.out_info)[0].dtype == jnp.bfloat16
    prepare.lower(lowering_platforms=("cuda",))


def test_a_step_of_a_short_prompt_takes_fewer_keys(model):
    short = full_size.javisdit(text_bucket=64)
    assert short.cond.text.shape == (64,)
    cond = jax.eval_shape(short.made.prepare, short.params, short.cond)
    keys = full_size.shapes(jax.random.split(jax.random.key(0), 2))
    start = jax.eval_shape(short.made.init, short.params, keys, cond)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    arguments = short.params, keys, start, step
    traced = jax.jit(short.made.step).trace(*arguments, cond)
    assert cudnn_masks(traced).count("PADDING") >= 4
    longest = jax.eval_shape(model.made.prepare, model.params, model.cond)
    whole = jax.jit(model.made.step).trace(*arguments, longest)
    queries = 2 * 2 * (30 * 405 + 28 * 16)  # of both rows of two candidates
    # Two text attentions in each level, of two products of 2 operations each.
    fewer = 28 * 2 * 2 * 2 * 1152 * queries * (300 - 64)
    assert count_flops(whole.jaxpr) - count_flops(traced.jaxpr) == fewer


def test_ltx_2_3_from_text_states_to_the_best_clip_as_one_program():
    model = full_size.published("ltx-2.3", text_states=True, dtype="float8")
    assert model.made.num_steps == 30
    judges = full_size.judges(["brightness"], model.made)
    traced = trace_search(model, judges, 2)
    best = traced.out_info.best
    assert best.video.shape == (121, 512, 768, 3) and best.audio.shape == (2, 240_480)
    needed = 2 * (30 * _LTX_STEP + _LTX_DECODE)
    assert 0.97 < count_flops(traced.jaxpr) / needed < 1.02  # texts are shared
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    # In a block of the transformer two of each: self, text, between the streams.
    assert find_masks(text) == ["NO_MASK"] * 6
    tokens = 16 * 16 * 24
    sizes = (found.split("x") for found in re.findall(r"tensor<((?:\d+x)*)\w+>", text))
    assert all(each.count(str(tokens)) < 2 for each in sizes)


def test_a_draft_that_uses_levels_again_carries_two_rows_of_tokens(model):
    draft = model.made.drafts[-1]
    cond = jax.eval_shape(draft.prepare, model.params, model.cond)
    keys = full_size.shapes(jax.random.split(jax.random.key(0), 2))
    start = jax.eval_shape(draft.init, model.params, keys, cond)
    video, audio = start.extra.kept
    assert video.shape == (2, 2, 30, 15 * 27, 1152)  # at 240p, 4 s
    assert audio.shape[:2] == (2, 2) and audio.dtype == video.dtype == jnp.bfloat16
    step = jax.ShapeDtypeStruct((), jnp.int32)
    after = jax.eval_shape(draft.step, model.params, keys, start, step, cond)
    assert after == start


@pytest.mark.slow  # traced for a quarter of a minute
def test_a_search_among_such_drafts_as_one_program():
    model = full_size.javisdit(text_states=True)
    draft = model.made.drafts[-1]
    search = {"search": avits.draft_best_of_n, "draft": draft, "num_kept": 2}
    judges = full_size.judges(["brightness"], model.made)
    traced = trace_search(model, judges, 8, **search)
    masks = cudnn_masks(traced)
    assert set(masks) == {"PADDING", "NO_MASK", "CAUSAL"}


@pytest.mark.parametrize(
    ("name", "masks"),
    [
        ("javis_score", {"NO_MASK"}),
        ("tv_ib", {"NO_MASK", "CAUSAL"}),
        ("video_reward", {"NO_MASK", "CAUSAL"}),
        ("clap", {"PADDING"}),
        ("clip_score", {"NO_MASK", "CAUSAL"}),
        ("vqa_score", {"NO_MASK"}),
        ("desync", {"NO_MASK"}),
        ("audiobox_pq", set()),
    ],
)
def test_a_verifier_of_each_network_takes_full_size_clips(name, masks):
    clips = full_size.clips()
    (judge,) = full_size.judges([name], clips.made)
    traced = jax.jit(judge.made.score).trace(judge.params, _media(clips, 2), judge.cond)
    assert traced.out_info.shape == (2,) and traced.out_info.dtype == jnp.float32
    assert set(cudnn_masks(traced)) == masks


def test_mini_keeps_to_float32():
    model = full_size.mini(2)
    judges = full_size.judges(("mini_tv", "mini_ta", "mini_av"), model.made)
    text = trace_search(model, judges, 4).lower(lowering_platforms=("cuda",)).as_text()
    assert "cudnn" not in text and "bf16" not in text


def _media(clips, count):
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count))
    return jax.eval_shape(lambda keys: clips.made.init((), keys, ()).latents, keys)


@pytest.mark.slow  # traces every network of every family, some seconds each
def test_every_verifier_takes_full_size_clips():
    clips = full_size.clips()
    names = [info.name for info in avits.verifiers.available()]
    names = [name for name in names if not name.startswith("mini_")]
    media = _media(clips, 2)
    assert media.video.shape == (2, *_VIDEO) and media.audio.shape == (2, *_AUDIO)
    for each in full_size.judges(names, clips.made):
        reward = jax.eval_shape(each.made.score, each.params, media, each.cond)
        assert reward.shape == (2,) and reward.dtype == jnp.float32, each.made.name
        has_weights = bool(jax.tree.leaves(each.params))
        assert bool(each.made.rules) == has_weights, each.made.name


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="resolution is '241p'; supported are"):
        full_size.clips(resolution="241p")
