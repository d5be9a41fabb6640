"""Programs for an Intel processor leave to Eigen what it does faster there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compile_options import record

from avits_jax.nn import compiling
from avits_jax.nn.compiling import EIGEN, EIGEN_CONVOLUTIONS, compile_lowered


def _libraries(monkeypatch, options):
    monkeypatch.setattr(compiling, "libraries", lambda: options)


def _convolve(image, kernel):
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        image, kernel, (1, 1), "SAME", dimension_numbers=axes
    )


def _instructions(program):
    """Return a program's instructions, without the lines that they come from."""
    lines = program.as_text().splitlines()
    return [line.partition(", metadata=")[0] for line in lines if " = " in line]


@pytest.mark.parametrize("options", [EIGEN, EIGEN_CONVOLUTIONS, {}])
def test_eigen_does_what_ynnpack_is_not_left(monkeypatch, options):
    _libraries(monkeypatch, options)
    left, right = jax.random.normal(jax.random.key(0), (2, 64, 64))
    image, kernel = left.reshape(1, 8, 8, 64), right[:18].reshape(3, 3, 64, 2)
    for function, arrays, by_eigen, name in (
        (jnp.matmul, (left.reshape(2, 32, 64), right), options == EIGEN, " dot("),
        (_convolve, (image, kernel), bool(options), " convolution("),
    ):
        lowered = jax.jit(function).lower(*arrays)
        program = compile_lowered(lowered)
        np.testing.assert_allclose(program(*arrays), function(*arrays), atol=1e-4)
        if by_eigen:
            assert "ynn_fusion" not in program.as_text() and name in program.as_text()
        else:
            assert _instructions(program) == _instructions(lowered.compile())


@pytest.mark.parametrize("ours", [EIGEN, {}])
def test_given_options_reach_xla_and_unknown_ones_do_not(monkeypatch, ours):
    _libraries(monkeypatch, ours)
    asked = record(monkeypatch)
    level, unknown = {"xla_backend_optimization_level": 1}, {"xla_no_such_option": 1}
    for options in level, unknown:
        program = compile_lowered(jax.jit(lambda x: 2 * x).lower(1.0), options)
        assert program(3.0) == 6
    both = [ours | options for options in (level, unknown)]
    assert asked == ([*both, unknown, None] if ours else [level, unknown, None])


def test_given_options_stay_where_xla_has_lost_ours(monkeypatch):
    lost = {"xla_no_such_option": True}
    _libraries(monkeypatch, lost)
    asked = record(monkeypatch)
    level = {"xla_backend_optimization_level": 1}
    assert compile_lowered(jax.jit(lambda x: 2 * x).lower(1.0), level)(3.0) == 6
    assert asked == [lost | level, level]


@pytest.mark.parametrize(
    ("cores", "vendor", "options"),
    [
        ({3}, "GenuineIntel", EIGEN),
        ({0, 1}, "GenuineIntel", EIGEN_CONVOLUTIONS),
        ({0}, "AuthenticAMD", {}),
        ({0, 1}, "AuthenticAMD", {}),
    ],
)
def test_cores_are_those_that_the_process_may_use(monkeypatch, cores, vendor, options):
    monkeypatch.setattr(compiling, "_processor", lambda: f"vendor_id : {vendor}")
    affinity = "sched_getaffinity"
    monkeypatch.setattr(compiling.os, affinity, lambda process: cores, raising=False)
    assert compiling.libraries.__wrapped__() == options
    monkeypatch.delattr(compiling.os, affinity)
    monkeypatch.setattr(compiling.os, "cpu_count", lambda: len(cores))
    assert compiling.libraries.__wrapped__() == options
