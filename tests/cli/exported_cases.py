"""Traced programs that are kept: never another one's, never a damaged one.

`test_exported.py` runs these in a process without the checks of annotations that the
others have, which wrap all functions in code of other packages.
"""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compile_options import record
from jax import export

import avits_jax as avits
from avits_jax.cli import exported
from avits_jax.cli.exported import compile_known
from avits_jax.cli.fingerprint import NoFingerprintError, fingerprint
from avits_jax.generators.mini.generator import mini
from avits_jax.nn import compiling
from avits_jax.nn.attention import attend

sys.path.append(str(Path(__file__).parents[2]))
from tools.absent_gpu import absent_gpu  # noqa: E402


def searching(num_candidates=4, weights=(1.0, 2.0), **settings):
    """Return a search of mini, made anew."""
    return functools.partial(
        avits.best_of_n,
        generator=mini(num_steps=2, **settings),
        aggregator=avits.arw(weights),
        num_candidates=num_candidates,
    )


def test_what_is_made_anew_is_the_same_and_all_else_another():
    made = [
        searching(),
        searching(num_candidates=5),
        searching(weights=(1.0, 2.5)),
        searching(guidance_scale=1.3),
        searching(shift=2.0),
        functools.partial(searching(), noise_level=1.0),
        (searching(), jnp.zeros(2)),
        (searching(), jnp.ones(2)),
        (searching(), np.ones(2)),
        (searching(), jnp.ones(2), jax.random.key(0)),
        (searching(), jnp.ones(2), jax.random.key(1)),
    ]
    found = [fingerprint(each) for each in made]
    assert len(set(found)) == len(found)
    assert fingerprint(searching()) == found[0]


def test_what_the_host_alone_does_does_not_count():
    generator = mini(num_steps=2)
    other = generator._replace(encode=lambda prompt: prompt)
    assert fingerprint(generator) == fingerprint(other)


@pytest.mark.parametrize("unknown", [lambda x: x, object(), iter(())])
def test_what_is_not_understood_has_no_fingerprint(unknown):
    with pytest.raises(NoFingerprintError):
        fingerprint(functools.partial(jnp.sum, unknown))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of traced programs, in a compilation cache of this test."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "traced"
    jax.config.update("jax_compilation_cache_dir", before)


def scored(rewards):
    """Return what a kept step of ARW says of rewards, and what it says itself.

    Both are compiled with the same options, `jax.jit`'s would round otherwise.
    """
    aggregator = avits.arw([1.0, 2.0])
    jitted = jax.jit(aggregator.update)
    arguments = rewards, aggregator.init(2)
    program = compile_known(jitted, arguments)
    plain = exported._compile(jitted.lower(*arguments))
    return program(*arguments), plain(*arguments), program.out_info


def test_a_program_is_traced_once(kept, monkeypatch):
    rewards = jnp.asarray([[1.0, 200.0], [2.0, 100.0], [4.0, 150.0]])
    scored(rewards)
    (file,) = kept.iterdir()

    def check_known():
        with monkeypatch.context() as patch:
            patch.delattr(jax.export, "export")  # it cannot be traced again
            found, wanted, info = scored(rewards)
        jax.tree.map(np.testing.assert_array_equal, found, wanted)
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        shapes = [(x.shape, x.dtype) for x in jax.tree.leaves(wanted)]
        assert [(x.shape, x.dtype) for x in jax.tree.leaves(info)] == shapes

    check_known()
    scored(rewards[:2])
    assert len(list(kept.iterdir())) == 2

    data = file.read_bytes()
    told = data.replace(b"[", b"]", 1)
    for damaged in (b"", data[:-7], data[:-7] + b"1234567", b"x" + data, told):
        file.write_bytes(damaged)
        with pytest.raises(AttributeError, match="export"):
            check_known()
        scored(rewards)
        check_known()


def test_what_cannot_be_exported_is_traced_once_and_not_kept(kept, monkeypatch):
    monkeypatch.setattr(exported, "fingerprint", lambda *values: "known")
    traced, told = [], []

    def with_callback(x):
        traced.append(x)
        jax.debug.callback(told.append, x)
        return {"double": 2 * x}

    found = compile_known(jax.jit(with_callback), (jnp.ones(2),))(jnp.ones(2))
    np.testing.assert_array_equal(found["double"], 2)
    jax.effects_barrier()
    assert len(traced) == len(told) == 1 and not kept.exists()


@pytest.fixture
def asked(monkeypatch):
    """The options of what is compiled in a test."""
    monkeypatch.setattr(compiling, "libraries", dict)
    return record(monkeypatch)


def test_small_programs_are_compiled_in_haste(kept, asked, monkeypatch):
    double = jax.jit(lambda x: 2 * x)
    for _ in range(2):
        assert compile_known(double, (jnp.ones(2),))(jnp.ones(2))[0] == 2
    jax.config.update("jax_compilation_cache_dir", None)
    compile_known(double, (jnp.ones(2),))
    assert asked == [exported._HASTE] * 3
    monkeypatch.setattr(exported, "_SMALL", 8)
    compile_known(double, (jnp.ones(2),))
    assert asked[3:] == [None]


def test_options_that_xla_does_not_know_are_left_out(kept, asked, monkeypatch):
    unknown = {"xla_no_such_option": True}
    monkeypatch.setattr(exported, "_HASTE", unknown)
    program = compile_known(jax.jit(lambda x: 2 * x), (jnp.ones(2),))
    assert program(jnp.ones(2))[0] == 2 and asked == [unknown, None]


def test_calls_of_a_gpu_can_be_kept():
    query = jax.ShapeDtypeStruct((2, 512, 4, 64), jnp.bfloat16)
    with absent_gpu():
        made = exported._export(jax.jit(attend), [query] * 3, ["cuda"])
    again = export.deserialize(bytearray(made.serialize()))
    assert "__cudnn$fmhaSoftmax" in again.mlir_module()
