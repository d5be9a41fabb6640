"""Sizes of LTX-2's clips, of their latents and of their tokens."""

import math
import re
from typing import NamedTuple

from avits_jax.generators.ltx2.transformer.positions import SPACE, TIME, audio_count

FPS = 24.0
# More catch slips of the keyboard: ten minutes of 512 x 768 have 700,000.
_MOST_TOKENS = 1_000_000


class ClipSizes(NamedTuple):
    """Sizes of one clip.

    Attributes:
        height: pixels.
        width: pixels.
        num_frames: of the clip.
        fps: frames per second.
        grid: latent frames, rows and columns.
        audio_tokens: latents of the sound.
    """

    height: int
    width: int
    num_frames: int
    fps: float
    grid: tuple[int, int, int]
    audio_tokens: int

    @property
    def video_tokens(self) -> int:
        """Return how many tokens the picture has."""
        return math.prod(self.grid)

    @property
    def frame_tokens(self) -> int:
        """Return how many tokens a latent frame has."""
        return self.grid[1] * self.grid[2]

    def halved(self) -> "ClipSizes":
        """Return the sizes of half as high and half as wide a clip.

        Raises:
            ValueError: height or width is no multiple of 64.
        """
        _check_multiples((self.height, self.width), 2 * SPACE)
        return clip_sizes(
            (self.height // 2, self.width // 2), self.num_frames, self.fps
        )


def image_size(resolution: str) -> tuple[int, int]:
    """Return height and width of "512x768", in pixels.

    Raises:
        ValueError: it is no height and width, or they are no multiples of 32; the
            message names the nearest that are.
    """
    found = re.fullmatch(r"(\d+)x(\d+)", str(resolution).strip())
    if found is None:
        raise ValueError(
            f"resolution is {resolution!r}; expected height x width in pixels, such as "
            "512x768"
        )
    size = int(found[1]), int(found[2])
    _check_multiples(size, SPACE)
    return size


def frame_count(duration: str | int, fps: float = FPS) -> int:
    """Return the frames of a duration: a number of them (121), or seconds ("5s").

    Seconds are rounded to the nearest number of frames that a clip can have.

    Args:
        duration: frames or seconds.
        fps: frames per second.

    Raises:
        ValueError: it is neither, or the frames are not 8 k + 1; the message names the
            nearest that are.
    """
    text = str(duration).strip()
    seconds = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*s", text)
    if seconds and float(seconds[1]) > 0:
        latents = max(round((float(seconds[1]) * fps - 1) / TIME), 0)
        return TIME * latents + 1
    if not text.isdecimal():
        raise ValueError(
            f"duration is {duration!r}; expected a number of frames such as 121, or "
            "seconds such as 5s"
        )
    frames = int(text)
    below = (frames - 1) // TIME * TIME + 1
    if frames != below:
        nearest = [count for count in (below, below + TIME) if count > 0]
        raise ValueError(
            f"duration is {frames} frames; a clip has 8 k + 1, the nearest are "
            f"{' and '.join(map(str, nearest))}"
        )
    return frames


def clip_sizes(size: tuple[int, int], num_frames: int, fps: float = FPS) -> ClipSizes:
    """Return the sizes of everything between noise and clip.

    Args:
        size: height and width in pixels, multiples of 32.
        num_frames: 8 k + 1.
        fps: frames per second, above 0; the sound has 25 latents a second.

    Raises:
        ValueError: a size is none that a clip can have.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; expected more than 0")
    _check_multiples(size, SPACE)
    frame_count(num_frames)
    height, width = size
    grid = (num_frames - 1) // TIME + 1, height // SPACE, width // SPACE
    audio_tokens = max(audio_count(num_frames, fps), 1)
    if (tokens := max(math.prod(grid), audio_tokens)) > _MOST_TOKENS:
        raise ValueError(
            f"a clip of {height}x{width} and {num_frames} frames at {fps:g} fps has "
            f"{tokens} tokens; at most {_MOST_TOKENS} are accepted"
        )
    return ClipSizes(height, width, num_frames, float(fps), grid, audio_tokens)


def _check_multiples(size: tuple[int, int], step: int) -> None:
    if all(side > 0 and side % step == 0 for side in size):
        return
    nearest = "x".join(str(max(round(side / step), 1) * step) for side in size)
    raise ValueError(
        f"resolution is {size[0]}x{size[1]}; height and width are multiples of {step}, "
        f"the nearest is {nearest}"
    )
