"""Random weights: reproducible, of the right scale, independent of each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.networks.imagebind.config import EncoderConfig
from avits_jax.weights import checkpoint
from avits_jax.weights.model import Model, Part, read_configs, read_parts
from avits_jax.weights.network import (
    Weights,
    as_dtype,
    check_dtype,
    random_weights,
)

LIKE = {
    "up": {
        "kernel": jax.ShapeDtypeStruct((400, 100), jnp.float32),
        "bias": jax.ShapeDtypeStruct((100,), jnp.float32),
    },
    "conv": {"kernel": jax.ShapeDtypeStruct((3, 3, 64, 32), jnp.float32)},
    "norm": {
        "scale": jax.ShapeDtypeStruct((5000,), jnp.float32),
        "var": jax.ShapeDtypeStruct((3,), jnp.float32),
        "count": jax.ShapeDtypeStruct((), jnp.int32),
    },
}


def test_random_weights_have_the_scale_of_their_kind():
    found = random_weights(LIKE, seed=1)
    assert float(found["up"]["kernel"].std()) == pytest.approx(1 / 20, rel=0.02)
    conv = found["conv"]["kernel"]
    assert float(conv.std()) == pytest.approx((9 * 64) ** -0.5, rel=0.02)
    assert float(found["norm"]["scale"].mean()) == pytest.approx(1, abs=0.01)
    assert (
        jnp.all(found["norm"]["var"] == 1) and found["norm"]["count"].dtype == "int32"
    )


def test_a_weight_depends_on_seed_and_path_alone():
    whole = random_weights(LIKE, seed=1)
    part = random_weights({"up": LIKE["up"]}, seed=1)
    jax.tree.map(np.testing.assert_array_equal, whole["up"], part["up"])
    other = random_weights({"up": LIKE["up"]}, seed=2)["up"]["kernel"]
    assert not np.array_equal(other, part["up"]["kernel"])


def _like(config):
    return {"kernel": jax.ShapeDtypeStruct((config.width, config.depth), jnp.float32)}


def test_a_checkpoint_brings_its_own_sizes(tmp_path):
    default, saved = EncoderConfig(8, 2, 2), EncoderConfig(6, 3, 1)
    kernel = np.arange(18, dtype=np.float32).reshape(6, 3)
    sizes = {"width": 6, "depth": 3, "heads": 1}
    checkpoint.save(tmp_path / "x", {"kernel": kernel}, {"model": "x", "config": sizes})
    weights = Weights(tmp_path / "x", "bfloat16")
    model = Model("x", (Part("", default, lambda config: (None, _like(config))),))
    configs = read_configs(model, weights)
    params = read_parts(model, weights, configs)
    assert configs == {"": saved} and params["kernel"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(params["kernel"].astype(np.float32), kernel)
    configs = read_configs(model, Weights(None))
    params = read_parts(model, Weights(None), configs)
    assert configs == {"": default} and params["kernel"].shape == (8, 2)
    with pytest.raises(ValueError, match="'x', not 'y'"):
        read_configs(model._replace(name="y"), weights)


def test_dtypes():
    narrow = as_dtype(LIKE, "bfloat16")
    assert narrow["up"]["bias"].dtype == jnp.bfloat16
    assert narrow["norm"]["count"].dtype == jnp.int32
    kept = as_dtype(LIKE, "bfloat16", ("norm", ".*/bias"))
    wide = [kept["norm"]["scale"], kept["norm"]["var"], kept["up"]["bias"]]
    assert all(leaf.dtype == jnp.float32 for leaf in wide)
    assert kept["up"]["kernel"].dtype == kept["conv"]["kernel"].dtype == jnp.bfloat16
    assert check_dtype(None) == "float32"
    with pytest.raises(ValueError, match="dtype must be one of.*'float16'"):
        check_dtype("float16")
