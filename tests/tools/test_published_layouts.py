"""The forms in which JavisDiT's weights are published give the same parameters."""

import jax
import numpy as np
import pytest
from goldens import golden_cases

from avits_jax.generators.javisdit import params
from avits_jax.generators.javisdit.audio_vae import AudioVae, AudioVaeConfig
from avits_jax.generators.javisdit.modeling import Transformer
from avits_jax.nn.abstract import abstract
from avits_jax.weights import name_map as weights
from tools.parity.javisdit_transformer import transformer_config
from tools.parity.javisdit_vae import hifigan_config, kl_config

GOLDENS = {case.id: case.values[0] for case in golden_cases("javisdit")}
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture(scope="module")
def sound():
    """Parameters as shapes, and the state dict of the golden."""
    golden = GOLDENS["audio_decode_tiny"]
    sizes = golden.info["config"]
    config = AudioVaeConfig(kl_config(sizes["vae"]), hifigan_config(sizes["vocoder"]))
    return abstract(lambda rngs: AudioVae(config, rngs=rngs))[1], golden.weights


def assert_same_sound(like, state, expected):
    ours, theirs = (
        weights.load(each, like, params.AUDIO_VAE_RULES) for each in (state, expected)
    )
    compare = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5)  # noqa: E731
    jax.tree.map(compare, ours, theirs)


@pytest.mark.parametrize(
    "names",
    [
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ],
)
def test_split_weights_of_the_vocoder(sound, names):
    like, state = sound
    split = {}
    for key, value in state.items():
        if key.startswith("vocoder.") and value.ndim == 3:
            base = key.removesuffix("weight")
            norm = np.sqrt(np.sum(value**2, (1, 2), keepdims=True))
            split |= {base + names[0]: norm, base + names[1]: 3 * value}
        else:
            split[key] = value
    assert len(split) > len(state)
    assert_same_sound(like, split, state)


def test_old_names_of_attention(sound):
    like, state = sound
    old = dict(state)
    for new, name in OLD_NAMES.items():
        keys = [key for key in old if f"attentions.0.{new}." in key]
        assert len(keys) == 4
        for key in keys:
            old[key.replace(f".{new}.", f".{name}.")] = old.pop(key)
    assert_same_sound(like, old, state)


@pytest.fixture(scope="module")
def transformer():
    """Parameters as shapes, and the state dict of the golden."""
    golden = GOLDENS["vastdit3_tiny"]
    config = transformer_config(golden.info["config"])
    return abstract(lambda rngs: Transformer(config, rngs=rngs))[1], golden.weights


@pytest.mark.parametrize("missing", [(), ("y_",), ("audio_y_",), ("y_", "audio_y_")])
def test_null_text_is_in_either_buffer(transformer, missing):
    like, whole = transformer
    lost = {f"{name}embedder.y_embedding" for name in missing}
    state = {key: value for key, value in whole.items() if key not in lost}
    plan = lambda: weights.make_plan(state, like, params.TRANSFORMER_RULES)  # noqa: E731
    if len(missing) == 2:
        with pytest.raises(weights.WeightsError, match="nothing gives null_text"):
            plan()
        return
    (piece,) = plan().leaves["null_text"].pieces
    used = "audio_y_embedder" if "y_" in missing else "y_embedder"
    assert piece.keys == (f"{used}.y_embedding",)
    duplicate = "audio_y_embedder.y_embedding"
    assert (duplicate in plan().ignored) == (not missing)
