"""Low-rank updates are added when a weight is read, whole or in blocks."""

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from avits_jax.converting.files import read_weights
from avits_jax.weights import file_tensors, name_map
from avits_jax.weights.lora import LoraWeight, Update

BFLOAT16 = ml_dtypes.bfloat16


def arrays(*shapes, seed=0):
    draws = np.random.default_rng(seed)
    return [draws.normal(size=shape).astype(np.float32) for shape in shapes]


def test_updates_are_summed():
    base, a, b, c, d = arrays((5, 4), (2, 4), (5, 2), (1, 4), (5, 1))
    weight = LoraWeight(base, (Update(a, b, 0.5), Update(c, d, -2.0)))
    np.testing.assert_allclose(weight, base + 0.5 * b @ a - 2 * d @ c, atol=1e-6)


def test_stepwise_rounds_after_every_operation():
    base, a, b = arrays((8, 6), (3, 6), (8, 3))

    def half(x):
        return np.asarray(x).astype(BFLOAT16).astype(np.float32)

    weight = LoraWeight(base, (Update(a, b, 0.6),), stepwise=True)
    delta = half(half(np.float32(0.6) * half(b)) @ half(a))
    np.testing.assert_array_equal(weight, half(half(base) + delta))


@pytest.mark.parametrize("transform", ["copy", "linear"])
@pytest.mark.parametrize("dtype", [np.float32, BFLOAT16])
def test_blocks_of_rows_are_the_whole(tmp_path, transform, dtype):
    """Of tensors in a file, whose columns lie apart, with and without updates."""
    base, a, b = (x.astype(dtype) for x in arrays((40, 6000), (2, 6000), (40, 2)))
    save_file({"w": base, "a": a, "b": b}, tmp_path / "x.safetensors")
    state = read_weights(tmp_path / "x.safetensors")
    state["w+"] = LoraWeight(state["w"], (Update(state["a"], state["b"], 0.5),))
    for key in ("w", "w+"):
        leaf = name_map.Leaf(name_map.Rule(key, "leaf", transform))
        leaf.pieces.append(name_map.Piece((), (key,)))
        ((_, whole),) = leaf.slices(state)
        rows = 7 if transform == "copy" else 1100
        blocks = list(leaf.blocks(state, whole.shape, rows))
        assert len(blocks) == -(-len(whole) // rows)
        assert all(len(block) <= rows for _, block in blocks)
        joined = np.concatenate([block for _, block in blocks])
        np.testing.assert_allclose(joined, whole, atol=1e-5)
        for (index,), block in blocks:
            np.testing.assert_allclose(block, whole[index], atol=1e-5)


def test_columns_are_read_without_the_rest(tmp_path, monkeypatch):
    """A block of columns reads its own bytes, not all that lies between."""
    (base,) = arrays((64, 40_000))
    save_file({"w": base}, tmp_path / "x.safetensors")
    tensor = read_weights(tmp_path / "x.safetensors")["w"].block(1, 2000, 4000)
    assert tensor._reads() == (0, 1)
    np.testing.assert_array_equal(tensor, base[:, 2000:4000])
    monkeypatch.setattr(file_tensors, "_READ_AT_ONCE", 2**20)
    whole = read_weights(tmp_path / "x.safetensors")["w"]
    assert whole._reads() == (0, 6)
    np.testing.assert_array_equal(whole, base)
    np.testing.assert_array_equal(whole.block(1, 5, None, 49), base[:, 5::49])
    narrow = read_weights(tmp_path / "x.safetensors")["w"].block(1, 3, 5)
    np.testing.assert_array_equal(narrow, base[:, 3:5])
