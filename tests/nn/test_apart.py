"""On a CPU, small passes of stacked layers have their weights apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_helpers import random_network

from avits_jax.nn import apart
from avits_jax.nn.apart import compile_apart, layers_apart
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.runs.devices import Compiled

WIDTH, DEPTH = 512, 3


def _network():
    def make(rngs):
        return stack_layers(lambda rngs: nnx.Linear(WIDTH, WIDTH, rngs=rngs), 3, rngs)

    graph, params = random_network(make)
    params = jax.device_put(params)
    return params, lambda params, x: scan_layers(nnx.merge(graph, params), x)


def _rows(count=5):
    return jax.random.normal(jax.random.key(1), (count, WIDTH))


def test_layers_apart_give_what_stacked_layers_give():
    params, run = _network()
    program = compile_apart(run, params, _rows())
    np.testing.assert_allclose(
        program(params, _rows()), jax.jit(run)(params, _rows()), atol=1e-5
    )
    assert program.out_info.shape == (5, WIDTH)
    text = program.compiled.as_text()
    assert "while" not in text and "dynamic-slice" not in text
    temporary = program.memory_analysis().temp_size_in_bytes
    assert temporary < 4 * WIDTH * WIDTH  # no copy of a matrix


def test_rows_of_a_stack_are_not_copied():
    params, run = _network()
    taken, _ = layers_apart(run, params, _rows()).take(params, _rows())
    stack = np.asarray(params["kernel"])
    assert [np.asarray(row).ctypes.data for row in taken["kernel"]] == [
        row.ctypes.data for row in stack
    ]
    assert taken["bias"] is params["bias"]


def test_only_large_weights_of_few_rows_and_layers_are_taken_apart():
    params, run = _network()
    assert layers_apart(run, params, _rows(1024)) is not None
    assert layers_apart(run, params, _rows(1025)) is None
    shapes = jax.eval_shape(lambda: (params, _rows()))
    assert layers_apart(run, *shapes) is not None

    def deep(stack, x):
        return jax.lax.scan(lambda x, weight: (x @ weight, None), x, stack)[0]

    for shape, taken in {
        (100, 512, 512): True,
        (101, 512, 512): False,
        (100, 511, 511): False,
    }.items():
        stack = jax.ShapeDtypeStruct(shape, jnp.float32)
        rows = jax.ShapeDtypeStruct((2, shape[1]), jnp.float32)
        assert (layers_apart(deep, stack, rows) is not None) is taken


def _outer(run):
    """A search in small: a scan over chunks around the network, in a jitted call."""

    def search(params, chunks):
        inner = jax.jit(lambda chunk: run(params, chunk))
        turn = lambda total, chunk: (total + inner(chunk).sum(), inner(chunk)[0])  # noqa: E731
        return jax.lax.scan(turn, 0.0, chunks)

    return search


def test_layers_in_loops_and_calls_are_apart_too():
    params, run = _network()
    search, chunks = _outer(run), jnp.stack([_rows(), 2 * _rows()])
    program = compile_apart(search, params, chunks)
    text = program.compiled.as_text()
    assert text.count(" while(") == 1
    for found, want in zip(
        program(params, chunks), jax.jit(search)(params, chunks), strict=True
    ):
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("reverse", [False, True])
def test_turns_have_their_order_their_outputs_and_what_else_they_scan_over(reverse):
    stack = jax.random.normal(jax.random.key(0), (DEPTH, WIDTH, WIDTH)) / WIDTH**0.5
    shifts = jnp.arange(float(DEPTH))

    def run(stack, x):
        def turn(x, each):
            weight, shift = each
            x = jnp.tanh(x @ weight + shift)
            return x, x.sum()

        last, sums = jax.lax.scan(turn, x, (stack, shifts), reverse=reverse)
        return last, sums, stack[0, 0]  # used as a whole, too

    found = compile_apart(run, stack, _rows())(stack, _rows())
    for got, want in zip(found, jax.jit(run)(stack, _rows()), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_gradients_with_respect_to_inputs_pass_through():
    params, run = _network()
    slope = jax.grad(lambda x, params: jnp.sin(run(params, x)).sum())
    found = compile_apart(slope, _rows(), params)(_rows(), params)
    np.testing.assert_allclose(found, jax.jit(slope)(_rows(), params), atol=1e-4)


def test_programs_for_accelerators_and_small_ones_are_as_before(monkeypatch):
    params, run = _network()
    assert isinstance(Compiled(run).program(params, _rows()), apart.Program)
    assert compile_apart(jnp.sin, _rows()) is None
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert compile_apart(run, params, _rows()) is None
