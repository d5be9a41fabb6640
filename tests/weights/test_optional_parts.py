"""Parts that a checkpoint may lack, and weights that are held in 8 bits."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from avits_jax.converting import conversion
from avits_jax.converting.files import LoraFile
from avits_jax.weights import checkpoint
from avits_jax.weights.model import (
    Download,
    Model,
    Part,
    Source,
    read_configs,
    read_parts,
    shapes,
)
from avits_jax.weights.name_map import WeightsError, linear
from avits_jax.weights.network import Weights, as_dtype, check_dtype


@dataclasses.dataclass(frozen=True)
class Size:
    """Of a toy."""

    width: int = 4


def build(size):
    shape = jax.ShapeDtypeStruct((3, size.width), jnp.float32)
    bias = jax.ShapeDtypeStruct((size.width,), jnp.float32)
    return None, {"big": {"kernel": shape, "bias": bias}, "mean": {"bias": bias}}


RULES = (*linear("big", "big"), *linear("mean", "mean")[1:])


def part(name, **more):
    download = Download(f"{name}.safetensors", "toys", 0.1, "free")
    return Part(
        name,
        Size(),
        build,
        rules=RULES,
        sources=(Source((f"{name}.safetensors",)),),
        downloads=(download,),
        float32=("mean",),
        **more,
    )


MODEL = Model("toy", (part("main", float8=("big/.*",)), part("more", optional=True)))
STATE = {
    "big.weight": np.linspace(-500, 500, 12, dtype=np.float32).reshape(4, 3),
    "big.bias": np.array([1.1, 2.3, 464, 465], np.float32),
    "mean.bias": np.arange(4, dtype=np.float32),
}


def converted(folder, names, **more):
    for name in names:
        save_file(STATE, folder / f"{name}.safetensors")
    ready = conversion.prepare(MODEL, folder, **more)
    conversion.convert(MODEL, ready, folder / "out")
    return folder / "out"


def test_a_checkpoint_without_an_optional_part(tmp_path):
    weights = Weights(converted(tmp_path, ["main"]))
    configs = read_configs(MODEL, weights)
    assert configs == {"main": Size(), "more": ()}
    params = read_parts(MODEL, weights, configs)
    assert params["more"] == ()
    like = shapes(MODEL, configs)
    assert jax.tree.structure(like) == jax.tree.structure(params)
    mesh = jax.make_mesh((1, 1), ("data", "model"))
    placed = read_parts(MODEL, weights._replace(mesh=mesh), configs)
    jax.tree.map(np.testing.assert_array_equal, placed, params)


def test_a_checkpoint_with_it(tmp_path):
    weights = Weights(converted(tmp_path, ["main", "more"]))
    configs = read_configs(MODEL, weights)
    assert configs == {"main": Size(), "more": Size()}
    assert read_parts(MODEL, weights, configs)["more"]["big"]["kernel"].shape == (3, 4)


def test_what_is_not_optional_is_needed(tmp_path):
    save_file(STATE, tmp_path / "more.safetensors")
    with pytest.raises(WeightsError, match=r"lacks main.*more.* \(optional\)"):
        conversion.prepare(MODEL, tmp_path)


def test_drawn_weights_without_an_optional_part():
    model = MODEL._replace(reduced={"main": Size(2), "more": ()})
    weights = Weights(None)
    configs = read_configs(model, weights, reduced=True)
    params = read_parts(model, weights, configs)
    assert params["more"] == () and params["main"]["big"]["kernel"].shape == (3, 2)


def dtypes(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): str(leaf.dtype)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


EIGHT_BITS = {
    "big/kernel": "float8_e4m3fn",
    "big/bias": "float8_e4m3fn",
    "mean/bias": "float32",
}


@pytest.mark.parametrize("stored", [None, "bfloat16", "float8"])
def test_float8(tmp_path, stored):
    """The same numbers whether they are stored so, or read so."""
    folder = converted(tmp_path, ["main"], dtype=stored)
    weights = Weights(folder, "float8")
    params = read_parts(MODEL, weights, read_configs(MODEL, weights))["main"]
    assert dtypes(params) == EIGHT_BITS
    found = {k: np.asarray(v, np.float32) for k, v in params["big"].items()}
    expected = STATE["big.bias"].astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    np.testing.assert_array_equal(found["bias"], expected)
    # 464 is rounded to the largest number; what lies above it has none.
    np.testing.assert_array_equal(found["bias"][2:], [448, np.nan])
    stated = checkpoint.load(folder / "main").tree
    if stored == "float8":
        assert dtypes(stated) == EIGHT_BITS
    # What was stored in 8 bits is read as any other weights.
    wide = Weights(folder, "bfloat16")
    params = read_parts(MODEL, wide, read_configs(MODEL, wide))["main"]
    assert dtypes(params)["big/kernel"] == "bfloat16"


def test_float8_of_drawn_weights_and_of_a_part_without():
    weights = Weights(None, "float8")
    params = read_parts(MODEL, weights, read_configs(MODEL, weights))
    assert dtypes(params["main"]) == EIGHT_BITS
    assert dtypes(params["more"]) == {
        "big/kernel": "bfloat16",
        "big/bias": "bfloat16",
        "mean/bias": "float32",
    }
    assert check_dtype("float8") == "float8"
    assert str(as_dtype(build(Size())[1], "float8")["big"]["bias"].dtype) == "bfloat16"


def test_float8_of_a_model_without():
    model = Model("plain", (part("main"),))
    with pytest.raises(ValueError, match="plain has no weights that can be held so"):
        shapes(model, {"main": Size()}, "float8")
    with pytest.raises(ValueError, match="plain takes no LoRA"):
        conversion.prepare(model, Path("."), loras=[LoraFile(Path("x"))])
