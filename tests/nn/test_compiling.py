"""Programs for one core of an Intel processor have their products done by Eigen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compile_options import record

from avits_jax.nn import compiling
from avits_jax.nn.compiling import compile_lowered


def _on_one_core(monkeypatch, known):
    monkeypatch.setattr(compiling, "has_one_intel_core", lambda: known)


@pytest.mark.parametrize("known", [True, False])
def test_products_are_eigens_on_one_intel_core(monkeypatch, known):
    _on_one_core(monkeypatch, known)
    left, right = jax.random.normal(jax.random.key(0), (2, 64, 64))
    lowered = jax.jit(jnp.matmul).lower(left, right)
    program = compile_lowered(lowered)
    np.testing.assert_allclose(program(left, right), left @ right, atol=1e-5)
    if known:
        assert "ynn" not in program.as_text() and " dot(" in program.as_text()
    else:
        assert program.as_text() == lowered.compile().as_text()


@pytest.mark.parametrize("known", [True, False])
def test_given_options_reach_xla_and_unknown_ones_do_not(monkeypatch, known):
    _on_one_core(monkeypatch, known)
    asked = record(monkeypatch)
    level, unknown = {"xla_backend_optimization_level": 1}, {"xla_no_such_option": 1}
    for options in level, unknown:
        program = compile_lowered(jax.jit(lambda x: 2 * x).lower(1.0), options)
        assert program(3.0) == 6
    if known:
        both = [compiling.EIGEN | options for options in (level, unknown)]
        assert asked == [*both, unknown, None]
    else:
        assert asked == [level, unknown, None]


def test_given_options_stay_where_xla_has_lost_ours(monkeypatch):
    _on_one_core(monkeypatch, True)
    monkeypatch.setattr(compiling, "EIGEN", {"xla_no_such_option": True})
    asked = record(monkeypatch)
    level = {"xla_backend_optimization_level": 1}
    assert compile_lowered(jax.jit(lambda x: 2 * x).lower(1.0), level)(3.0) == 6
    assert asked == [compiling.EIGEN | level, level]


@pytest.mark.parametrize(
    ("cores", "vendor", "told"),
    [
        ({3}, "GenuineIntel", True),
        ({0, 1}, "GenuineIntel", False),
        ({0}, "AuthenticAMD", False),
    ],
)
def test_cores_are_those_that_the_process_may_use(monkeypatch, cores, vendor, told):
    monkeypatch.setattr(compiling, "_processor", lambda: f"vendor_id : {vendor}")
    affinity = "sched_getaffinity"
    monkeypatch.setattr(compiling.os, affinity, lambda process: cores, raising=False)
    assert compiling.has_one_intel_core.__wrapped__() == told
    monkeypatch.delattr(compiling.os, affinity)
    monkeypatch.setattr(compiling.os, "cpu_count", lambda: len(cores))
    assert compiling.has_one_intel_core.__wrapped__() == told
