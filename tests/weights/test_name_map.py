"""State dicts onto parameter trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avits_jax.weights import name_map as weights
from avits_jax.weights.name_map import Rule, WeightsError

RULES = (
    *weights.linear("blocks.{layer}.fc", "blocks.up"),
    *weights.conv("stem.{part}", "stem.{part}"),
    *weights.norm("norm", "norm"),
)


def _source(layers: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    source = {
        "stem.0.weight": rng.normal(size=(4, 2, 3, 5)),
        "stem.0.bias": rng.normal(size=4),
        "norm.weight": rng.normal(size=4),
        "norm.bias": rng.normal(size=4),
    }
    for layer in range(layers):
        source[f"blocks.{layer}.fc.weight"] = rng.normal(size=(6, 4))
        source[f"blocks.{layer}.fc.bias"] = rng.normal(size=6)
    return {key: value.astype(np.float32) for key, value in source.items()}


def _like() -> dict:
    shape = jax.ShapeDtypeStruct
    return {
        "blocks": {
            "up": {
                "kernel": shape((3, 4, 6), jnp.float32),
                "bias": shape((3, 6), jnp.float32),
            }
        },
        "stem": {
            0: {
                "kernel": shape((3, 5, 2, 4), jnp.float32),
                "bias": shape((4,), jnp.float32),
            }
        },
        "norm": {
            "scale": shape((4,), jnp.float32),
            "bias": shape((4,), jnp.bfloat16),
        },
    }


def test_layers_are_stacked_transposed_and_cast():
    source = _source()
    params = weights.load(source, _like(), RULES)
    for layer in range(3):
        expected = source[f"blocks.{layer}.fc.weight"].T
        np.testing.assert_array_equal(params["blocks"]["up"]["kernel"][layer], expected)
    moved = source["stem.0.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(params["stem"][0]["kernel"], moved)
    np.testing.assert_array_equal(params["norm"]["scale"], source["norm.weight"])
    assert params["norm"]["bias"].dtype == jnp.bfloat16


def test_numbers_stay_numbers():
    source = {"scale": np.float32(2.0), "steps": np.array(3, np.int64)}
    like = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in source}
    rules = [Rule(name, name) for name in source]
    params = weights.load(source, like, rules)
    assert {(x.shape, x.dtype) for x in params.values()} == {((), np.dtype("f4"))}
    assert (params["scale"], params["steps"]) == (2.0, 3.0)


def test_every_problem_is_named_at_once():
    source = _source()
    del source["norm.bias"], source["blocks.1.fc.bias"]
    source["extra.weight"] = np.zeros(2, np.float32)
    source["stem.0.bias"] = np.zeros(5, np.float32)
    with pytest.raises(WeightsError) as error:
        weights.load(source, _like(), RULES)
    text = str(error.value)
    assert text.startswith("4 problems")
    for part in ("norm.bias", "blocks.up.bias", "extra.weight", "stem.0.bias (5,)"):
        assert part in text


def test_too_few_layers_are_refused():
    with pytest.raises(WeightsError, match=r"blocks.up.kernel has \(2,\) layers"):
        weights.load(_source(2), _like(), RULES)


def test_a_key_is_ignored_only_on_purpose():
    source = _source() | {"table.inv_freq": np.zeros(2, np.float32)}
    plan = weights.make_plan(source, _like(), RULES, {"table.{name}": "recomputed"})
    assert plan.ignored == {"table.inv_freq": "recomputed"}
    with pytest.raises(WeightsError, match="unused: table.inv_freq"):
        weights.make_plan(source, _like(), RULES)


def test_two_sources_of_one_leaf():
    like = {"a": jax.ShapeDtypeStruct((2,), jnp.float32)}
    source = {"new": np.ones(2, np.float32), "old": np.zeros(2, np.float32)}
    with pytest.raises(WeightsError, match="doubled: new and old both give a"):
        weights.load(source, like, [Rule("new", "a"), Rule("old", "a")])
    rules = [Rule("old", "a", fallback=True), Rule("new", "a")]
    assert weights.load(source, like, rules)["a"].tolist() == [1, 1]
    del source["new"]
    assert weights.load(source, like, rules)["a"].tolist() == [0, 0]


def test_weight_norm_is_multiplied_out():
    direction = np.array([[[3.0, 4.0]], [[0.0, 2.0]]], np.float32)
    source = {"c.weight_g": np.array([[[10.0]], [[1.0]]]), "c.weight_v": direction}
    like = {"c": {"kernel": jax.ShapeDtypeStruct((2, 1, 2), jnp.float32)}}
    rule = Rule(("c.weight_g", "c.weight_v"), "c.kernel", "weight_norm_conv")
    kernel = weights.load(source, like, [rule])["c"]["kernel"]
    np.testing.assert_allclose(kernel[:, 0].T, [[6, 8], [0, 1]], rtol=1e-6)
    del source["c.weight_g"], source["c.weight_v"]
    with pytest.raises(WeightsError, match="nothing gives c.kernel"):
        weights.load(source, like, [rule])


def test_unknown_transform_is_refused():
    with pytest.raises(ValueError, match="'transposed'.*linear"):
        Rule("a", "b", "transposed")


def test_manifests_are_checked_without_values():
    entries = {key: [list(v.shape), "float32"] for key, v in _source().items()}
    plan = weights.make_plan(weights.shapes_of(entries), _like(), RULES)
    assert len(plan.leaves["blocks.up.kernel"].pieces) == 3


def test_transposed_convolution_kernel_is_reversed():
    weight = np.arange(6.0).reshape(1, 2, 3)
    kernel = weights.TRANSFORMS["conv_transpose"](weight)
    assert kernel.shape == (3, 1, 2)
    np.testing.assert_array_equal(kernel[:, 0, 1], [5, 4, 3])


@pytest.mark.parametrize("number", ["300000000", "99999999999", "9" * 5000, "02", "٢"])
def test_numbers_of_layers_are_bounded_and_written_in_one_way(number):
    """No key makes a table of all layers up to its number, or stands for another."""
    source = _source()
    source[f"blocks.{number}.fc.bias"] = source.pop("blocks.2.fc.bias")
    with pytest.raises(WeightsError, match="has .2,. layers.*unused: blocks") as error:
        weights.load(source, _like(), RULES)
    assert len(str(error.value)) < 2000


def test_layers_beyond_the_expected_ones_take_no_memory():
    source = _source()
    source["blocks.999999.fc.bias"] = source["blocks.2.fc.bias"]
    with pytest.raises(WeightsError, match=r"has \(1000000,\) layers, expected \(3,\)"):
        weights.load(source, _like(), RULES)


def test_any_number_of_problems_is_one_line():
    source = _source() | {f"extra{i}": np.zeros(1) for i in range(5000)}
    with pytest.raises(WeightsError, match="5000 problems .* and 4900 more") as error:
        weights.load(source, _like(), RULES)
    assert "\n" not in str(error.value)
