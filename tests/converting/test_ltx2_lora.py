"""LoRA files of LTX-2 are merged where their keys say, and others are refused."""

import numpy as np
import pytest
from goldens import assert_golden, golden_cases
from safetensors.numpy import save_file

from avits_jax.converting.files import Found, LoraFile
from avits_jax.converting.ltx2_lora import merge_loras
from avits_jax.weights.lora import LoraWeight
from avits_jax.weights.name_map import WeightsError

QUERY = "transformer_blocks.0.attn1.to_q"
PROJECTION = "text_embedding_projection.video_aggregate_embed"
OUT = "transformer_1d_blocks.0.ff.net.2"
CONNECTOR = f"diffusion_model.video_embeddings_connector.{OUT}"


def drawn(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.fixture
def found():
    """Networks of a few matrices, by part."""
    transformer = {f"{QUERY}.weight": drawn(6, 4), f"{QUERY}.bias": drawn(6)}
    text = {
        "feature_extractor.video_aggregate_embed.weight": drawn(5, 9),
        f"video_connector.{OUT}.weight": drawn(4, 8),
    }
    return {"transformer": Found(transformer), "text": Found(text)}


def write(path, modules, rank=2):
    """A LoRA file; of a module: ``(out, in)``."""
    tensors = {}
    for module, (out, inner) in modules.items():
        tensors[f"{module}.lora_A.weight"] = drawn(rank, inner)
        tensors[f"{module}.lora_B.weight"] = drawn(out, rank)
    save_file(tensors, path)
    return tensors


@pytest.mark.parametrize("golden", golden_cases("ltx2", "lora_merge"))
def test_golden(golden):
    assert_golden(golden)


def test_all_keys_are_merged(tmp_path, found):
    """Those of the text projection and the connectors too."""
    modules = {
        f"diffusion_model.{QUERY}": (6, 4),
        PROJECTION: (5, 9),
        CONNECTOR: (4, 8),
    }
    tensors = write(tmp_path / "a.safetensors", modules)
    merged = merge_loras(found, [LoraFile(tmp_path / "a.safetensors", 0.5)])
    homes = {
        f"diffusion_model.{QUERY}": ("transformer", f"{QUERY}.weight"),
        PROJECTION: ("text", "feature_extractor.video_aggregate_embed.weight"),
        CONNECTOR: ("text", f"video_connector.{OUT}.weight"),
    }
    for module, (part, name) in homes.items():
        a, b = (tensors[f"{module}.lora_{x}.weight"] for x in "AB")
        expected = found[part].state[name] + 0.5 * (b @ a)
        np.testing.assert_allclose(merged[part].state[name], expected, atol=1e-5)
    bias = f"{QUERY}.bias"
    assert merged["transformer"].state[bias] is found["transformer"].state[bias]
    assert not isinstance(found["text"].state[homes[CONNECTOR][1]], LoraWeight)


def test_several_files_and_one_of_them_twice(tmp_path, found):
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    deltas = []
    for file, rank in zip(files, (2, 3), strict=True):
        tensors = write(file, {f"diffusion_model.{QUERY}": (6, 4)}, rank)
        a, b = tensors.values()
        deltas.append(b @ a)
    loras = [LoraFile(files[0]), LoraFile(files[1], -0.5), LoraFile(files[0], 2.0)]
    merged = merge_loras(found, loras)["transformer"].state[f"{QUERY}.weight"]
    expected = found["transformer"].state[f"{QUERY}.weight"]
    expected = expected + 3 * deltas[0] - 0.5 * deltas[1]
    np.testing.assert_allclose(merged, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ({"diffusion_model.blocks.0.q": (6, 4)}, "no weight is meant by diffusion_mod"),
        ({"transformer.single.0": (6, 4)}, "no weight is meant by transformer.single"),
        ({f"diffusion_model.{QUERY}": (6, 5)}, r"A \(2, 5\) and B \(6, 2\) do not fit"),
        ({f"diffusion_model.{QUERY}": (8, 4)}, rf"do not fit {QUERY}.weight \(6, 4\)"),
        ({f"diffusion_model.{QUERY}.bias": (6, 4)}, "no weight is meant by"),
    ],
)
def test_a_lora_of_another_model(tmp_path, found, modules, said):
    file = tmp_path / "other.safetensors"
    write(file, modules)
    with pytest.raises(WeightsError, match=said) as caught:
        merge_loras(found, [LoraFile(file)])
    assert f"{file} is a LoRA of another model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_half_an_update_and_other_keys(tmp_path, found):
    file = tmp_path / "half.safetensors"
    tensors = write(file, {f"diffusion_model.{QUERY}": (6, 4)})
    save_file(dict([*tensors.items()][:1]), file)
    with pytest.raises(WeightsError, match=f"half an update of {QUERY}"):
        merge_loras(found, [LoraFile(file)])
    alpha = f"diffusion_model.{QUERY}.alpha"
    save_file({**tensors, alpha: np.ones(1, np.float32)}, file)
    with pytest.raises(WeightsError, match=f"no weight is meant by {alpha}"):
        merge_loras(found, [LoraFile(file)])
