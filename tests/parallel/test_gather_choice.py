"""When split weights are gathered, by what fits: JavisDiT's sizes and its judges'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from avits_jax.parallel.gathering import reads
from avits_jax.parallel.memory import Gathers, Held, choose_gathers, held

JAVISDIT = Held(int(2.35e9), int(6.2e9))  # parts of everything, what steps read
IMAGEBIND, QWEN = Held(int(0.27e9), int(2.1e9)), Held(int(0.55e9), int(4.4e9))
VQA = Held(int(2.9e9), int(22.9e9))
V5E, V5P = 16e9, 95e9


@pytest.mark.parametrize(
    ("verifiers", "memory", "stays", "wanted"),
    [
        ((IMAGEBIND, QWEN), V5E, False, Gathers("once", ("entry", "entry"))),
        ((IMAGEBIND, QWEN), V5E, True, Gathers("once", ("entry", "block"))),
        ((IMAGEBIND, QWEN), V5P, True, Gathers("once", ("once", "once"))),
        ((VQA, IMAGEBIND), V5E, False, Gathers("once", ("block", "entry"))),
        ((IMAGEBIND,), 11e9, False, Gathers("block", ("entry",))),
        ((VQA,), None, True, Gathers("once", ("once",))),
        ((), V5E, True, Gathers("once", ())),
    ],
)
def test_what_fits_is_gathered_once(verifiers, memory, stays, wanted):
    assert choose_gathers(JAVISDIT, verifiers, memory, stays=stays) == wanted


def test_bytes_of_parts_and_of_the_whole():
    mesh = AbstractMesh((2, 4), ("candidate", "model"))
    split, whole = PartitionSpec(None, "model"), PartitionSpec()
    params = {"a": jnp.ones((3, 8)), "b": jnp.ones(5, jnp.bfloat16)}
    specs = {"a": NamedSharding(mesh, split), "b": NamedSharding(mesh, whole)}
    assert held(params, specs) == Held(4 * 3 * 2 + 10, 4 * 3 * 8 + 10)


def test_what_a_function_reads_is_found_in_scans_and_calls():
    """What a layer does not use of a stack is not read, as what nothing looks at."""
    stack = {"used": jnp.ones((3, 2)), "idle": jnp.ones((3, 2))}
    params = {"stack": stack, "head": np.ones(2), "other": np.ones(2)}

    @jax.jit
    def call(params, x):
        x, _ = jax.lax.scan(lambda x, one: (x * one["used"], None), x, params["stack"])
        return x @ params["head"]

    found = reads(call, params, jnp.ones(2))
    assert found == {
        "stack": {"used": True, "idle": False},
        "head": True,
        "other": False,
    }
