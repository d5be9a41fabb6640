"""tools/bench_generator.py: what it times, and what it says of what is not there."""

import contextlib
import sys
import types

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import pytest

from avits_jax.generators.javisdit.tiny import TINY
from tools import bench_generator, full_size, javisdit_blocks, ltx2_originals


def _chosen(*words):
    return bench_generator.options(["--model", *words])


@pytest.mark.parametrize(
    ("model", "video"),
    [("javisdit-tiny", (2, 17, 48, 64, 3)), ("ltx-2.3-tiny", (2, 17, 64, 128, 3))],
)
def test_stages_have_the_shapes_of_a_search(model, video):
    part = full_size.published(model, text_states=True)

    def run(params, cond):
        own = full_size.Part(part.made, params, cond)
        programs = bench_generator.stage_programs(own, 2)
        return {name: function(*given) for name, function, given in programs}

    made = jax.eval_shape(run, part.params, part.cond)
    assert set(made) == {"step", "decode"}
    assert made["decode"].video.shape == video
    assert all(len(leaf) == 2 for leaf in jax.tree.leaves(made["step"].latents))


def test_javisdits_blocks_take_a_steps_guided_rows():
    part = full_size.published("javisdit-tiny", text_states=True)

    def run(params, cond):
        own = full_size.Part(part.made, params, cond)
        prepared, _, start = bench_generator.started(own, 2)
        programs = javisdit_blocks.block_programs(params, prepared, start, reduced=True)
        return {name: function(*given) for name, function, given in programs}

    made = jax.eval_shape(run, part.params, part.cond)
    assert len(made) == 7
    width = TINY.transformer.width
    for name in ("video_spatial", "video_temporal", "video_prior"):
        assert made[name].shape == (4, 5, 3 * 4, width), name


def test_without_a_gpu_full_size_is_not_tried(capsys):
    assert jax.default_backend() == "cpu"
    for model, tiny in (
        ("ltx-2.3", "ltx-2.3-tiny"),
        ("ltx-2-distilled", "ltx-2.3-tiny"),
        ("javisdit-v0.1", "javisdit-tiny"),
    ):
        assert bench_generator.main(["--model", model]) == 2
        assert f"try --model {tiny}" in capsys.readouterr().err
    assert bench_generator.main(["--model", "mini", "--originals"]) == 2
    assert "--originals: there is none of mini" in capsys.readouterr().err


def test_a_case_that_does_not_fit_is_a_row_like_others():
    def full():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    def wrong():
        raise jax.errors.JaxRuntimeError("INTERNAL: no")

    assert bench_generator.attempt(full) == [{"failed": "out of memory"}]
    assert bench_generator.attempt(lambda: [{"seconds": 1.0}]) == [{"seconds": 1.0}]
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        bench_generator.attempt(wrong)


def test_the_table_has_a_dash_for_a_missing_figure_and_the_devices_use():
    rows = [{"seconds": 2.0, "tflop_per_second": 250.0}, {"failed": "out of memory"}]
    text = bench_generator.table(rows, 1000.0)
    assert "| seconds | tflop_per_second | failed | share |" in text
    assert "| 2 | 250 | - | 25.0% |" in text
    assert "| - | - | out of memory | - |" in text


@pytest.mark.parametrize("absent", ["torch", "diffusers"])
def test_originals_that_are_not_installed_are_reported(absent, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    monkeypatch.setitem(sys.modules, absent, None)
    part = full_size.published("ltx-2.3-tiny", text_states=True)
    chosen = _chosen("ltx-2.3-tiny", "--originals")
    (row,) = bench_generator.time_originals(part, 1, chosen)
    assert row["original"].startswith("not run: ") and absent in row["original"]


@pytest.mark.parametrize("folder", [[], ["nowhere"]])
def test_a_checkout_that_is_absent_is_reported(folder, monkeypatch):
    torch = types.SimpleNamespace(
        float32=None,
        device=lambda _: contextlib.nullcontext(),
        get_default_dtype=lambda: None,
        set_default_dtype=lambda _: None,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    part = full_size.published("javisdit-tiny", text_states=True)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), (part.params, part.cond)
    )
    chosen = _chosen("javisdit-tiny", "--originals", *folder)
    own = full_size.Part(part.made, *zeros)
    (row,) = bench_generator.time_originals(own, 1, chosen)
    assert row["original"].startswith("not run: JavisVerse/JavisDiT at b505b37 is not")


def test_originals_have_the_sizes_of_ours():
    family = bench_generator.family_of(_chosen("ltx-2.3"))
    sizes = ltx2_originals.sizes_of(family, {"duration": "121"})
    assert sizes.clip.video_tokens == 6144 and len(sizes.branches) == 4
    asked = ltx2_originals.constructor(sizes.transformer)
    assert (asked["num_attention_heads"], asked["attention_head_dim"]) == (32, 128)
    assert asked["audio_cross_attention_dim"] == 2048 and asked["num_layers"] == 48
    assert asked["gated_attn"] and not asked["use_prompt_embeddings"]
    family = bench_generator.family_of(_chosen("ltx-2.3-distilled"))
    assert len(ltx2_originals.sizes_of(family, {}).branches) == 1
    with ltx2_originals.resized("4x512"):
        family = bench_generator.family_of(_chosen("ltx-2.3-tiny"))
        small = ltx2_originals.sizes_of(family, {}).transformer
    assert (small.depth, small.video.width, small.audio.width) == (4, 512, 256)
    assert ltx2_originals.sizes_of(family, {}).transformer.depth == 2


def test_a_matrix_product_has_a_rate():
    assert bench_generator.matrix_rate(jnp.float32) > 0


@pytest.mark.slow  # compiles the reduced networks whole and in parts, minutes
@pytest.mark.parametrize("model", ["javisdit-tiny", "ltx-2.3-tiny"])
def test_all_of_it_runs_on_reduced_networks(model, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    words = ["--model", model, "--candidates", "2", "--steps", "1", "--repeats", "1"]
    assert bench_generator.main([*words, "--json", str(figures)]) == 0
    text = capsys.readouterr().out
    assert "No GPU was there" in text and figures.is_file()
    for title in ("a guided step, and decoded clips", "the whole search"):
        assert f"\n{title}\n" in text
