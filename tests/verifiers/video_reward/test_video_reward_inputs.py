"""VideoReward: prompts, frame choice, sizes and patches."""

import goldens
import jax
import numpy as np
import pytest

from avits_jax.verifiers.video_reward.config import VisionConfig
from avits_jax.verifiers.video_reward.preprocess import (
    chosen_frames,
    cut_patches,
    frame_size,
    sample_frames,
    server_frames,
)
from avits_jax.verifiers.video_reward.prompts import (
    build_chat,
    build_prompt,
    escape,
    reward_tokens,
)


@pytest.mark.parametrize("golden", goldens.golden_cases("verifiers", "pre_videoreward"))
def test_golden(golden):
    goldens.assert_golden(golden)


@pytest.mark.parametrize(
    "caption",
    ["", "a {caption} {0} }{", "<|TA_reward|>", "<|video_pad|><|im_end|>", "<<||VQ"],
)
def test_caption_cannot_add_special_tokens(caption):
    chat = build_chat(caption, 5)
    for token in (*reward_tokens(), "<|vision_end|>"):
        assert chat.count(token) == 1
    assert chat.count("<|video_pad|>") == 5
    assert chat.count("<|im_end|>") == 2


def test_harmless_captions_stay_as_they_are():
    caption = "a < b | c > d {x}"
    assert escape(caption) == caption
    assert f"Textual prompt - {caption}\n" in build_prompt(caption)


def test_rewards_come_in_order_and_only_the_last_after_the_caption():
    prompt = build_prompt("a red circle")
    places = [prompt.index(token) for token in reward_tokens()]
    assert places == sorted(places)
    assert places[1] < prompt.index("a red circle") < places[2]


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 7, 16, 240])
def test_frames_are_inside_and_pair_up(num_frames):
    for chosen in (sample_frames(num_frames, 24.0), server_frames(num_frames)):
        assert len(chosen) % 2 == 0
        assert chosen[0] == 0 and chosen.max() < num_frames


def test_longer_clips_show_more_frames():
    assert len(sample_frames(240, 24.0)) == 20
    assert len(sample_frames(240, 8.0)) == 60
    assert len(sample_frames(24_000, 24.0)) == 768
    assert len(chosen_frames(240, 8.0, "its")) == 4


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode must be one of .* got 'fast'"):
        chosen_frames(8, 8.0, "fast")


@pytest.mark.parametrize("size", [(32, 32), (97, 13), (2000, 1000)])
def test_sizes_are_whole_tokens_within_bounds(size):
    height, width = frame_size(*size)
    assert height % 28 == 0 and width % 28 == 0
    assert height * width <= 448 * 448
    assert abs(np.log(height / width) - np.log(size[0] / size[1])) < 0.2


def test_extreme_aspect_is_refused():
    with pytest.raises(ValueError, match="aspect of at most 200, got 1x300"):
        frame_size(1, 300)


def test_patches_hold_the_pixels_in_merge_order():
    config = VisionConfig(patch_size=2)
    pixels = jax.random.normal(jax.random.key(0), (1, 3, 4, 8, 3))
    patches = np.asarray(cut_patches(pixels, config))
    assert patches.shape == (1, 2, 8, 24)
    order = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]
    for place, (row, column) in enumerate(order):
        block = pixels[0, :2, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        want = block.transpose(3, 0, 1, 2).reshape(-1)
        np.testing.assert_array_equal(patches[0, 0, place], want)
    # The odd last frame is paired with itself.
    halves = patches[0, 1].reshape(8, 3, 2, 4)
    np.testing.assert_array_equal(halves[:, :, 0], halves[:, :, 1])
