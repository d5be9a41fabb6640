"""LTX-2's formulas, and whole runs of its generator, against the originals."""

import jax.numpy as jnp
import numpy as np
import pytest
from goldens import assert_golden, golden_cases

from avits_jax.generators.ltx2 import guidance, schedule, sizes
from avits_jax.generators.ltx2.guidance import Scales
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.branches import Branch

NAMES = ("schedule", "guidance", "bon_selection", "trajectory", "i2v_conditioning")
CASES = [case for case in golden_cases("ltx2") if case.id in NAMES]
_LONG = {"i2v_conditioning"}  # eight loops, each compiled: 16 s


@pytest.mark.parametrize(
    "golden",
    [
        pytest.param(*case.values, id=case.id, marks=pytest.mark.slow)
        if case.id in _LONG
        else case
        for case in CASES
    ],
)
def test_golden(golden):
    assert_golden(golden)


def test_all_goldens_are_here():
    assert {case.id for case in CASES} == set(NAMES)


def test_the_count_of_tokens_is_stated(unchecked):
    usual = schedule.tokens_for_schedule(schedule.USUAL_TOKENS, 6144)
    own = schedule.tokens_for_schedule("clip", 6144)
    last = [schedule.shifted_sigmas(30, tokens)[-3] for tokens in (usual, own)]
    np.testing.assert_allclose(last, [0.266, 0.350], atol=1e-3)
    for wrong in ("true", 0):
        with pytest.raises(ValueError, match="schedule_tokens"):
            schedule.tokens_for_schedule(wrong, 6144)


@pytest.mark.parametrize("steps", [1, 2, 7, 30])
@pytest.mark.parametrize("tokens", [1, 24, 4096, 50_000, 130_560, 10**9])
def test_levels_fall_from_one_to_nothing(steps, tokens):
    levels = schedule.shifted_sigmas(steps, tokens)
    assert levels[0] == 1 and levels[-1] == 0 and len(levels) == steps + 1
    assert all(np.diff(levels) < 0)


def test_branches_that_nobody_asks_for_are_left_out():
    def asked(video: Scales, audio: Scales):
        return guidance.branches(Streams(video, audio))

    none = guidance.NONE.video
    assert asked(none, none) == (Branch(),)
    assert len(asked(Scales(), Scales())) == 4
    only = asked(none, none._replace(isolated=3.0))
    assert only == (Branch(), Branch(isolated=True))


def test_a_candidate_is_rescaled_by_its_own_deviation(unchecked):
    rng = np.random.default_rng(0)
    scales = Streams(Scales(perturbed=0.0, isolated=1.0), guidance.NONE.audio)
    rows = Streams(*jnp.asarray(rng.normal(size=(2, 6, 5, 4)), jnp.float32))
    _, found = guidance.guided(rows, scales)
    _, alone = guidance.guided(Streams(*(x[2:4] for x in rows)), scales)
    np.testing.assert_allclose(found.video[1:2], alone.video, atol=1e-6)
    _, together = guidance.guided(rows, scales, "batch")
    assert np.abs(together.video - found.video).max() > 1e-3
    np.testing.assert_array_equal(found.audio, rows.audio[::2])
    with pytest.raises(ValueError, match="rescale_over"):
        guidance.guided(rows, scales, "row")


def test_scales_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="audio scale 'rescale' is 1.5"):
        guidance.check_scales(guidance.USUAL._replace(audio=Scales(rescale=1.5)))
    with pytest.raises(ValueError, match="video scale 'text' is -1"):
        guidance.check_scales(guidance.USUAL._replace(video=Scales(text=-1.0)))
    for wrong in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="'isolated' is .*expected a number"):
            guidance.check_scales(Streams(Scales(isolated=wrong), Scales()))


def test_sizes_of_the_published_clip():
    clip = sizes.clip_sizes(sizes.image_size("512x768"), sizes.frame_count("5s"))
    assert clip.num_frames == 121 and clip.grid == (16, 16, 24)
    assert clip.video_tokens == 6144 and clip.audio_tokens == 126
    assert clip.halved().grid == (16, 8, 12)


@pytest.mark.parametrize(
    ("duration", "frames"), [("121", 121), (9, 9), ("2.5s", 57), ("0.4s", 9), (1, 1)]
)
def test_durations(duration, frames):
    assert sizes.frame_count(duration) == frames


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sizes.image_size("500x760"), "the nearest is 512x768"),
        (lambda: sizes.image_size("480p"), "expected height x width"),
        (lambda: sizes.frame_count(120), "the nearest are 113 and 121"),
        (lambda: sizes.frame_count(0), "the nearest are 1$"),
        (lambda: sizes.frame_count("5 min"), "seconds such as 5s"),
        (lambda: sizes.frame_count("0.0s"), "seconds such as 5s"),
        (lambda: sizes.clip_sizes((32, 32), 10**9 * 8 + 1), "tokens; at most"),
        (lambda: sizes.clip_sizes((32, 32), 9, 1e-9), "tokens; at most"),
        (lambda: sizes.clip_sizes((32, 32), 9, 0.0), "fps is 0.0"),
        (lambda: sizes.clip_sizes((96, 64), 9).halved(), "multiples of 64"),
    ],
)
def test_sizes_that_no_clip_has_are_refused_in_a_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
