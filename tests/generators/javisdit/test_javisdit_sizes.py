"""Sizes: everything on offer works, everything else is refused with a list."""

import pytest

from avits_jax.generators.javisdit import sizes


def test_every_size_on_offer_has_latents():
    count = 0
    for resolution in sizes.resolutions():
        for ratio in sizes.aspect_ratios(resolution):
            height, width = sizes.image_size(resolution, ratio)
            clip = sizes.clip_sizes(height, width, sizes.frame_count("2s"))
            assert clip.video_latent == (15, height // 8, width // 8, 4)
            assert clip.decoded_samples >= clip.num_samples
            count += 1
    assert count == 8 * 17 + 5 * 40


def test_ratios_have_two_names():
    assert sizes.image_size("144p", "0.56") == sizes.image_size("144p", "9:16")
    assert sizes.image_size("256", "1:1") == sizes.image_size("256", "1.00")


@pytest.mark.parametrize("name, frames", [("1x", 51), ("16s", 408), ("32s", 816)])
def test_durations(name, frames):
    assert sizes.frame_count(name) == sizes.frame_count(str(frames)) == frames


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sizes.image_size("241p", "9:16"), "241p.*240p"),
        (lambda: sizes.image_size("240p", "7:16"), "7:16.*9:16"),
        (lambda: sizes.frame_count("3s"), "3s.*4s"),
        (lambda: sizes.frame_count(0), "0.*2s"),
        (lambda: sizes.clip_sizes(4, 240, 51), "4 x 240"),
    ],
)
def test_what_is_not_on_offer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
