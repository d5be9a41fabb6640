"""tools/bench_javisdit.py: what it times, and what it says where there is no GPU."""

import itertools

import goldens  # noqa: F401  (makes tools importable)
import jax
import pytest

from tools import bench_javisdit, javisdit_parts


def test_every_stage_and_block_has_the_shapes_of_a_run():
    chosen = bench_javisdit.options(["--tiny"])
    setup = javisdit_parts.plan_setup("17", chosen)

    def run(params):
        own = setup._replace(params=params)
        programs = itertools.chain(
            javisdit_parts.stage_programs(own, 2), javisdit_parts.block_programs(own, 2)
        )
        return {name: function(*arguments) for name, function, arguments in programs}

    made = jax.eval_shape(run, setup.params)
    assert len(made) == 5 + 7
    assert made["denoise"].video.shape == (2, *setup.clip.video_latent)
    assert made["decode_video"].shape == (2, 17, 48, 64, 3)
    assert made["decode_audio"].shape == (2, setup.clip.num_samples)
    width = setup.config.transformer.width
    video, audio = setup.clip.video_tokens, setup.clip.audio_tokens
    for name in ("video_spatial", "video_temporal", "video_prior"):
        assert made[name].shape == (4, *video, width)
    assert made["exchange"][1].shape == (4, *audio, width)


def test_without_a_gpu_full_size_is_not_tried(capsys):
    assert jax.default_backend() == "cpu"
    assert bench_javisdit.main([]) == 2
    assert "try --tiny" in capsys.readouterr().err


def test_a_case_that_does_not_fit_is_a_row_like_others():
    def full():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    def wrong():
        raise jax.errors.JaxRuntimeError("INTERNAL: no")

    assert bench_javisdit.attempt(full) == {"failed": "out of memory"}
    assert bench_javisdit.attempt(lambda: {"seconds": 1.0}) == {"seconds": 1.0}
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        bench_javisdit.attempt(wrong)


def test_the_table_has_a_dash_for_a_missing_figure_and_the_cards_use():
    rows = [{"denoise": 2.0, "tflop_per_second": 250.0}, {"failed": "out of memory"}]
    text = bench_javisdit.table(rows, 1000.0)
    assert "| denoise | tflop_per_second | failed | utilisation |" in text
    assert "| 2 | 250 | - | 25.0% |" in text
    assert "| - | - | out of memory | - |" in text


@pytest.mark.slow  # compiles the reduced networks whole and in parts, minutes
def test_all_of_it_runs_on_reduced_networks(capsys, tmp_path):
    figures = tmp_path / "figures.json"
    words = ["--tiny", "--candidates", "2", "--steps", "1", "--repeats", "1"]
    assert bench_javisdit.main([*words, "--json", str(figures)]) == 0
    text = capsys.readouterr().out
    assert "No GPU was there" in text and figures.is_file()
    for title in ("the whole search", "stages, seconds", "one block, milliseconds"):
        assert f"\n{title}\n" in text
