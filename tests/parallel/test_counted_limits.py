"""Work, bytes and memory of small fixed programs stay within stated limits.

Numbers of the tracer and of XLA's CPU compiler, no timings: a change that makes a
program do more, read more or hold more is seen whatever the machine does meanwhile.
Network bytes have their limits in on_eight_devices.py, traces of every search in
tests/search.
"""

from collections.abc import Callable
from typing import NamedTuple

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import pytest

import avits_jax as avits
from avits_jax.parallel.flops import count_flops
from avits_jax.parallel.traffic import kernels
from tools import full_size

N = 4


class Limits(NamedTuple):
    """Most that a program may take.

    Attributes:
        flops: of matrix products, convolutions and Fourier transforms.
        moved: bytes that its kernels read and write.
        temporaries: bytes of memory beside arguments and results.
    """

    flops: float
    moved: float
    temporaries: float


def _step():
    """One guided step of mini for four candidates."""
    model = full_size.mini(4)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), N))
    candidates = jax.eval_shape(model.made.init, model.params, keys, model.cond)
    index = jax.ShapeDtypeStruct((), jnp.int32)
    return model.made.step, (model.params, keys, candidates, index, model.cond)


def _synchrony():
    """Judging of four of mini's clips by the verifier of both senses."""
    model = full_size.mini(4)
    (judge,) = full_size.judges(["mini_av"], model.made)
    video = jax.ShapeDtypeStruct((N, 16, 32, 32, 3), jnp.float32)
    media = avits.Media(video, jax.ShapeDtypeStruct((N, 32_000), jnp.float32))
    return judge.made.score, (judge.params, media, judge.cond)


def _arw():
    """An update of ARW by 64 rewards; of all before it holds sums alone."""
    aggregator = avits.arw([0.5, 0.5])
    state = jax.eval_shape(lambda: aggregator.init(2))
    return aggregator.update, (jax.ShapeDtypeStruct((64, 2), jnp.float32), state)


# What was counted, and a tenth on top; of bytes a quarter, since compilers differ.
PROGRAMS: list[tuple[str, Callable, Limits]] = [
    ("step", _step, Limits(1.1 * 9.87e8, 1.25 * 8.69e7, 1.25 * 2.18e6)),
    ("synchrony", _synchrony, Limits(1.1 * 1.44e8, 1.25 * 3.91e7, 1.25 * 3.65e6)),
    ("arw", _arw, Limits(0, 1.25 * 8354, 1.25 * 1072)),
]


@pytest.mark.parametrize(("name", "make", "limits"), PROGRAMS)
def test_a_program_takes_no_more_than_stated(name, make, limits):
    function, arguments = make()
    traced = jax.jit(function).trace(*arguments)
    program = traced.lower().compile()
    moved = sum(each.total_bytes for each in kernels(program.as_text()))
    temporaries = program.memory_analysis().temp_size_in_bytes
    found = Limits(count_flops(traced.jaxpr), moved, temporaries)
    over = [f for f in Limits._fields if getattr(found, f) > getattr(limits, f)]
    assert not over, f"{name}: {found} exceeds {limits} in {over}"
    # A limit far above what is taken would hide a loss.
    assert limits.moved < 1.6 * moved, "lower the limit"
