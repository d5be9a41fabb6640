"""Frames padded for GPUs: the same numbers, whatever the pads hold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import with_dtype
from tiny_javisdit import CONFIG, jit, tiny

from avits_jax.generators.javisdit import padding
from avits_jax.generators.javisdit.guidance import Latents, guided_context
from tools.absent_gpu import absent_gpu

TIMES, TOKENS, PADS = 3, 6, 3
# Pads change where a product's rows lie, and with it how the CPU adds them up.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def _normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _context(model):
    """Return keys and values of rows with a prompt and without, of two candidates."""
    config = CONFIG.transformer
    priors = (
        _normal(seed, 2, tokens, config.prior_width)
        for seed, tokens in ((1, config.spatial_tokens), (2, config.temporal_tokens))
    )
    mask = jnp.arange(64)[None] < 40
    return guided_context(model, _normal(0, 1, 64, config.text_width), mask, *priors)


@functools.cache
def _arguments(given: bool = False):
    """Return latents, noise levels and masks of four rows."""
    video, audio = (4, TIMES, 4, 6, 4), (4, *tiny().clip.audio_latent)
    latents = Latents(_normal(3, *video), _normal(4, *audio))
    active = None
    if given:
        times = latents.video.shape[1], latents.audio.shape[1]
        active = Latents(*(jnp.tile(jnp.arange(n) >= n // 2, (4, 1)) for n in times))
    return latents, jnp.array([900.0, 900, 300, 300]), active


def _predict(params, latents, levels, active):
    model = nnx.merge(tiny().graphs.transformer, params)
    frames = {} if active is None else active._asdict()
    return model(
        *latents,
        levels,
        _context(model),
        fps=jnp.full(4, 24.0),
        height=16.0,
        width=24.0,
        **{f"{stream}_mask": mask for stream, mask in frames.items()},
    )


@functools.cache
def _params():
    return jax.tree.map(jnp.asarray, tiny().params.transformer)


def _pad_from_now_on(monkeypatch):
    """Put three pads behind the tokens of every frame, as on a GPU."""
    monkeypatch.setattr(padding, "tokens_behind", lambda *asked: PADS)


def _leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def _assert_same(found, wanted, **tolerance):
    for one, other in zip(_leaves(found), _leaves(wanted), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize(
    ("rows", "dtype", "backend", "want"),
    [
        ((2, 30, 405), jnp.bfloat16, "gpu", 1),
        ((2, 15, 405), jnp.float16, "gpu", 3),
        ((1, 1, 405), jnp.bfloat16, "gpu", 3),
        ((6, 5, 12), jnp.bfloat16, "gpu", 0),
        ((4, 30, 405), jnp.bfloat16, "gpu", 0),
        ((2, 30, 405), jnp.float32, "gpu", 0),
        ((2, 30, 405), jnp.bfloat16, "cpu", 0),
        ((2, 30, 405), jnp.bfloat16, "tpu", 0),
    ],
)
def test_frames_are_padded_where_products_of_a_gpu_want_it(rows, dtype, backend, want):
    found = padding.tokens_behind((*rows, 8), jnp.dtype(dtype), backend)
    assert found == want
    if backend == "gpu" and dtype != jnp.float32:
        assert rows[0] * rows[1] * (rows[2] + found) % 8 == 0


@pytest.mark.parametrize("given", [False, True])
def test_pads_change_no_prediction(monkeypatch, given):
    """All blocks of both guidance rows; without jit as with it."""
    latents, levels, active = _arguments(given)
    arguments = _params(), latents, levels, active
    plain = jit(_predict)(*arguments)
    _pad_from_now_on(monkeypatch)
    program = jit(lambda *arrays: _predict(*arrays))
    assert f"[4,{TIMES},{TOKENS + PADS},32]" in str(program.trace(*arguments).jaxpr)
    padded = program(*arguments)
    _assert_same(padded, plain, **CLOSE)
    _assert_same(_predict(*arguments), padded, **CLOSE)


def test_nothing_depends_on_what_pads_hold():
    """Not even on NaN; the levels alone, with pads of the test's own."""
    model = nnx.merge(tiny().graphs.transformer, _params())
    latents, levels, _ = _arguments()
    video = model.embed_video(latents.video, 16.0, 24.0)
    streams = video, model.embed_audio(latents.audio)

    @functools.partial(jit, static_argnames="seen")
    def run(params, pads, seen):
        model = nnx.merge(tiny().graphs.transformer, params)
        conditions = model._conditions(streams, levels, levels, None, None)
        wide = jnp.concatenate([streams[0], pads], 2)
        context = _context(model)
        return model._run_levels((wide, streams[1]), conditions, context, seen=seen)[0]

    shape = (*streams[0].shape[:2], PADS, streams[0].shape[3])
    zeros = run(_params(), jnp.zeros(shape), TOKENS)
    assert all(np.isfinite(x).all() for x in zeros)
    for pads in (100 * _normal(7, *shape), jnp.full(shape, jnp.nan)):
        video, audio = run(_params(), pads, TOKENS)
        np.testing.assert_array_equal(video[:, :, :TOKENS], zeros[0][:, :, :TOKENS])
        np.testing.assert_array_equal(audio, zeros[1])
    looked_at = run(_params(), jnp.zeros(shape), None)
    assert np.abs(looked_at[0] - zeros[0])[:, :, :TOKENS].max() > 0.01
    assert np.abs(looked_at[1] - zeros[1]).max() > 0.01


def test_frames_are_padded_on_machines_with_a_gpu_alone():
    """At 5 x 7 tokens, one row with a prompt and one without."""

    def run(params, streams, levels):
        model = nnx.merge(tiny().graphs.transformer, params)
        priors = jnp.zeros((2, 4, 16))
        context = model.prepare(jnp.zeros((2, 64, 32)), None, priors, priors)
        info = {"fps": levels, "height": 16.0, "width": 28.0}
        return model(*streams, levels, context, **info)

    half = with_dtype(_params(), jnp.bfloat16)
    video, audio = (2, 5, 2, 14, 4), (2, *tiny().clip.audio_latent)
    latents = tuple(jax.ShapeDtypeStruct(x, jnp.float32) for x in (video, audio))
    arguments = half, latents, jax.ShapeDtypeStruct((2,), jnp.float32)
    here = jax.jit(run).trace(*arguments)
    with absent_gpu():
        there = jax.jit(lambda *arrays: run(*arrays)).trace(*arguments)
        program = there.lower(lowering_platforms=("cuda",)).as_text()
    assert "[2,5,8,32]" in str(there.jaxpr) and "[2,5,8,32]" not in str(here.jaxpr)
    assert "2x5x8x32xbf16" in program and "__cudnn$fmhaSoftmax" in program
    # Split weights are gathered turn by turn only in scans that lie in no branch.
    turns = [
        [each.params["length"] for each in traced.jaxpr.eqns if _is_scan(each)]
        for traced in (here, there)
    ]
    assert turns[0] == turns[1] and CONFIG.transformer.depth in turns[1]


def _is_scan(equation) -> bool:
    return equation.primitive.name == "scan"
