"""What users' functions return, and what users give, is refused by name."""

import functools
import importlib
import inspect

import jax
import jax.numpy as jnp
import pytest

from avits_jax.aggregation import arw, weighted
from avits_jax.search import best_of_n, smc
from avits_jax.search.contracts import with_checks
from avits_jax.search.evaluate import pose
from avits_jax.types import Candidates, Media

best_of_n_module, checks_module, evaluate_module = (
    importlib.import_module(f"avits_jax.search.{name}")
    for name in ("best_of_n", "checks", "evaluate")
)
KEY = jax.random.key(0)


def _settings(toy, **changes):
    return {
        "generator": toy.generator,
        "verifiers": toy.verifiers,
        "aggregator": arw([0.5, 0.5]),
        "num_candidates": 4,
    } | changes


def _broken_clips(change):
    def decode(generator):
        def broken(params, candidates):
            return change(generator.decode(params, candidates))

        return {"decode": broken}

    return decode


def _to_bytes(media):
    return media._replace(video=(255 * media.video).astype(jnp.uint8))


def _one_less(function):
    def change(generator):
        def broken(*arguments):
            found = getattr(generator, function)(*arguments)
            return jax.tree.map(lambda x: x[1:], found)

        return {function: broken}

    return change


def _in(dtype, function):
    def change(generator):
        def broken(*arguments):
            found = getattr(generator, function)(*arguments)
            return jax.tree.map(lambda x: x.astype(dtype), found)

        return {function: broken}

    return change


def _as(kind, function):
    def change(generator):
        def broken(*arguments):
            return kind(getattr(generator, function)(*arguments))

        return {function: broken}

    return change


CLIPS = [
    (
        _to_bytes,
        r"video is \[N, F, H, W, 3\] float in \[0, 1\], got uint8\[4, 2, ",
    ),
    (
        lambda m: m._replace(video=jnp.moveaxis(m.video[..., :2, :], -1, 2)),
        r"video is \[N, F, H, W, 3\].* got float32\[4, 2, 3, 2, 2\]",
    ),
    (lambda m: m._replace(video=m.video[:, 0]), r"video is .*\[4, 2, 2, 3\]"),
    (lambda m: m._replace(audio=m.audio[0]), r"audio is \[N, S\] or .*float32\[4\]"),
    (lambda m: m._replace(audio=m.audio[:, None, None]), r"audio is .*\[4, 1, 1, 4\]"),
    (lambda m: m._replace(video=m.video[:3]), r"video of each of the 4 .*\[3, 2, 2"),
    (lambda m: Media(m.video, m.audio[:3]), r"audio of each of the 4 .*\[3, 4\]"),
]
FUNCTIONS = [
    (_as(tuple, "decode"), TypeError, "decode must return Media, got .*tuple"),
    (_as(list, "init"), TypeError, "init must return Candidates, got .*list"),
    (
        _one_less("init"),
        ValueError,
        r"init .* 4 keys, got float32\[3, 2\] for latents",
    ),
    (_as(tuple, "step"), TypeError, "step must return Candidates, got .*tuple"),
    (
        _as(lambda c: Candidates(c.latents, {"new": c.latents["video"]}), "step"),
        ValueError,
        "step .* the structure was .* got .*new",
    ),
    (
        _one_less("step"),
        ValueError,
        r"step .*latents\['audio'\] was float32\[4, 2\], got float32\[3, 2\]",
    ),
    (_in(jnp.float16, "step"), ValueError, r"was float32\[4, 2\], got float16\[4, 2\]"),
    (_in(jnp.float16, "predict"), ValueError, r"predict .*got float16\[4, 2\]"),
    (_one_less("predict"), ValueError, r"predict .*\['audio'\] was float32\[4, 2\]"),
]


@pytest.mark.parametrize(("change", "message"), CLIPS)
def test_clips_that_are_none_are_refused(toy, change, message):
    _refused(toy, best_of_n, _broken_clips(change), ValueError, message)


@pytest.mark.parametrize(("change", "error", "message"), FUNCTIONS)
def test_functions_of_a_generator_are_named(toy, change, error, message):
    if "predict" in message:
        _refused(toy, smc, change, error, message, resample_steps=(1,))
    else:
        _refused(toy, best_of_n, change, error, message)


def _refused(toy, search, change, error, message, **settings):
    generator = toy.generator._replace(**change(toy.generator))
    settings = _settings(toy, generator=generator, **settings)
    with pytest.raises(error, match=message):
        search(toy.params, KEY, toy.cond, **settings)


STATES = [
    (weighted([0.5, 0.5]).init(2), "state must be that of this aggregator: accepted"),
    (arw([0.5, 0.5, 1.0]).init(3), r"state .* 2 verifiers .*accepted shapes .*\(3,\)"),
    (
        jax.tree.map(lambda x: jnp.stack([x] * 3), arw([0.5, 0.5]).init(2)),
        "state has a leading axis of 3: vmap over prompts",
    ),
]


@pytest.mark.parametrize(("state", "message"), STATES)
def test_states_of_others_are_refused(toy, state, message):
    with pytest.raises(ValueError, match=message):
        best_of_n(toy.params, KEY, toy.cond, state, **_settings(toy))


ARGUMENTS = [
    ({"key": 0}, TypeError, r"key must be a typed key, as jax.random.key\(0\), got 0"),
    ({"key": jax.random.PRNGKey(0)}, TypeError, "key must be a typed key"),
    (
        {"key": jax.random.split(KEY, 3)},
        ValueError,
        r"key must be one key, got an array of shape \[3\]: vmap over prompts",
    ),
    ({"aggregator": "arw"}, TypeError, "aggregator must be an Aggregator.*got 'arw'"),
    ({"generator": "mini"}, TypeError, "generator must be a Generator, got 'mini'"),
    (
        {"verifiers": ("clap", "sync")},
        TypeError,
        "must hold Verifier tuples, got 'clap",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), ARGUMENTS)
def test_arguments_of_another_kind_are_refused(
    toy, monkeypatch, change, error, message
):
    """Without the tests' own checker of annotations, which would be first."""
    monkeypatch.setattr(best_of_n_module, "pose", inspect.unwrap(pose))
    for name in ("check_problem", "check_state"):
        bare = inspect.unwrap(getattr(evaluate_module, name))
        monkeypatch.setattr(evaluate_module, name, bare)
    bare = inspect.unwrap(checks_module.check_generator)
    monkeypatch.setattr(checks_module, "check_generator", bare)
    arguments = {"params": toy.params, "key": KEY, "cond": toy.cond} | _settings(toy)
    with pytest.raises(error, match=message):
        inspect.unwrap(best_of_n)(**arguments | change)


@pytest.mark.parametrize("num", [3, 4])
def test_a_batch_of_prompts_is_told_to_vmap(toy, num):
    """Whether the toy fails by itself, with four candidates, or not, with three."""
    with pytest.raises((TypeError, ValueError), match="vmap over prompts"):
        best_of_n(toy.params, KEY, toy.conds, **_settings(toy, num_candidates=num))


def test_checks_leave_no_trace_in_the_program(toy):
    def program(generator):
        settings = _settings(toy, generator=generator)
        search = functools.partial(best_of_n, **settings)
        return str(jax.make_jaxpr(search)(toy.params, KEY, toy.cond))

    assert program(toy.generator) == program(with_checks(toy.generator))
