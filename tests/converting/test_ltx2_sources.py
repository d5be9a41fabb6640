"""LTX-2 is found in both layouts, and what is something else is said in one line."""

import pytest
from ltx2_files import (
    PARTS,
    diffusers,
    few,
    gemma,
    model_of,
    write_ones,
)
from ltx2_files import single_file as whole_file

from avits_jax.converting.finding import find
from avits_jax.weights.name_map import WeightsError

NAME = "ltx-2.3-22b-dev.safetensors"


def single_file(release):
    return few(whole_file(release))


def write_gemma(folder):
    """Gemma-3 as published, with the tower of pictures."""
    keys = [f"language_model.model.{key}" for key in few(gemma())]
    write_ones(folder / "model.safetensors", [*keys, "vision_tower.post.weight"])
    (folder / "tokenizer.json").write_text("{}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the single file and all that can lie beside it."""
    folder = tmp_path_factory.mktemp("whole")
    write_ones(folder / NAME, single_file("2.3"))
    write_gemma(folder / "gemma-3-12b-it")
    write_ones(folder / "ltx-2.3-spatial-upscaler-x2-1.1.safetensors", ["a"])
    write_ones(folder / "ltx-2.3-22b-distilled-lora-384.safetensors", ["b"])
    write_ones(folder / "taeltx2_3.safetensors", ["c"])
    return folder


def test_a_single_file_and_what_lies_beside_it(whole):
    found, problems = find(model_of(), whole)
    assert not problems and set(found) == set(PARTS)
    assert set(find(model_of(), whole / NAME)[0]) == set(PARTS)
    assert "tokenizer/tokenizer.json" in found["text"].tokenizer
    assert list(found["text"].dropped.values()) == [
        "Gemma's vision tower: prompts are text"
    ]
    assert list(found["upsampler"].state) == ["a"]
    assert list(found["preview"].state) == ["c"]


def test_folders_hold_the_same_as_the_single_file(whole, tmp_path):
    for folder, keys in diffusers("2.3").items():
        write_ones(tmp_path / folder / "model.safetensors", few(keys))
    write_gemma(tmp_path / "text_encoder")
    tokenizer = tmp_path / "text_encoder" / "tokenizer.json"
    (tmp_path / "tokenizer").mkdir()
    tokenizer.rename(tmp_path / "tokenizer" / "tokenizer.json")
    found, expected = find(model_of(), tmp_path)[0], find(model_of(), whole)[0]
    assert "tokenizer/tokenizer.json" in found["text"].tokenizer
    assert set(found) == set(PARTS) - {"upsampler", "preview"}
    for part in PARTS[:5]:
        assert set(found[part].state) == set(expected[part].state), part


def test_every_key_is_used_or_dropped_for_a_reason(whole):
    used = find(model_of(parts=PARTS[:5]), whole)[0]
    dropped = {why for each in used.values() for why in each.dropped.values()}
    assert "of the video encoder, which is not used" in dropped
    keys = {k for each in used.values() for k in each.dropped}
    count = sum(len(each.state) for each in used.values()) + len(keys)
    assert count == len(single_file("2.3")) + len(few(gemma())) + 1


def refusal(model, source):
    with pytest.raises(WeightsError) as caught:
        find(model, source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_another_release(tmp_path):
    keys = [key for key in single_file("2") if key.startswith("model.")]
    write_ones(tmp_path / "a.safetensors", keys)
    assert "weights of LTX-2, not of LTX-2.3" in refusal(model_of(), tmp_path)
    keys = [key for key in single_file("2.3") if key.startswith("model.")]
    write_ones(tmp_path / "a.safetensors", keys)
    assert "LTX-2.3, not of LTX-2," in refusal(model_of("ltx-2-distilled"), tmp_path)
    later = "model.diffusion_model.keyframes_abs_pos_embedding"
    write_ones(tmp_path / "a.safetensors", [*keys, later])
    assert "LTX-2.5, not of LTX-2.3" in refusal(model_of(), tmp_path)


def test_what_is_missing(whole, tmp_path):
    assert "neither LTX-2's single file nor" in refusal(model_of(), tmp_path)
    write_ones(tmp_path / NAME, single_file("2.3"))
    assert "lacks Gemma-3" in refusal(model_of(), tmp_path)
    write_gemma(tmp_path / "gemma")
    assert set(find(model_of(), tmp_path)[0]) == set(PARTS) - {"upsampler", "preview"}
    keys = [key for key in single_file("2.3") if not key.startswith("vocoder.")]
    write_ones(tmp_path / NAME, keys)
    assert "lacks vocoder" in refusal(model_of(), tmp_path)


def test_what_is_too_much(tmp_path):
    write_ones(tmp_path / "ltx-2.3-22b-dev.safetensors", single_file("2.3"))
    write_ones(tmp_path / "ltx-2.3-22b-distilled.safetensors", ["a"])
    assert "several weight files, name one" in refusal(model_of(), tmp_path)
    write_gemma(tmp_path / "gemma-3")
    write_gemma(tmp_path / "gemma-4")
    found = refusal(model_of(), tmp_path / NAME)
    assert "several of gemma*, keep one: gemma-3, gemma-4" in found


def test_keys_of_nothing(tmp_path):
    write_ones(tmp_path / NAME, [*single_file("2.3"), "model.other.weight"])
    assert "1 keys belong to no network of LTX-2: model.other" in refusal(
        model_of(), tmp_path
    )
    scaled = "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight_scale"
    write_ones(tmp_path / NAME, [*single_file("2.3"), scaled])
    assert "scaled float8" in refusal(model_of(), tmp_path)
