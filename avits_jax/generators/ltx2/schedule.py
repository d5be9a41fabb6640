"""Noise levels of LTX-2: the shifted schedule, the distilled ones, those of stage two.

Source: the words and numbers of the conformance data of LTX-2 (ltx-core 1.0.0 and
diffusers 0.42.1, which agree at equal token counts).
"""

import math
from typing import Literal

ScheduleTokens = int | Literal["clip"]

DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)
"""Levels of a distilled model's eight steps."""
SECOND_STAGE = (0.909375, 0.725, 0.421875, 0.0)
"""Levels of the three steps after upsampling."""
USUAL_TOKENS = 4096
"""Tokens that ltx-pipelines 1.0.0 computes its schedule for, whatever the clip."""

# The shift grows with the tokens on the line through these two points.
_ANCHORS = ((1024, 0.95), (4096, 2.05))
_LAST = 0.1


def shifted_sigmas(num_steps: int, tokens: int = USUAL_TOKENS) -> tuple[float, ...]:
    """Return the levels of a model that is not distilled.

    ``s(u) = e^mu / (e^mu + 1/u - 1)`` of evenly falling ``u``, with a shift ``mu`` that
    grows with the tokens of the picture; ``1 - s`` is then scaled so that the last
    level before 0 is 0.1. In float64, where the originals have float32: up to 1.2e-5
    from theirs, and the first level is 1 where theirs is 0.99999994.

    Args:
        num_steps: denoising steps, at least 1; with 1 there is nothing to scale.
        tokens: of the picture, at least 1.

    Returns:
        ``num_steps + 1`` levels from 1 to 0.

    Raises:
        ValueError: a number is less than 1.
    """
    for name, value in (("num_steps", num_steps), ("tokens", tokens)):
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    (low, base), (high, top) = _ANCHORS
    # In terms of 1 - s: s itself is 1, to rounding, for very many tokens.
    slow = math.exp(-(base + (tokens - low) * (top - base) / (high - low)))
    odds = [1 / (1 - i / num_steps) - 1 for i in range(num_steps)]
    falls = [odd / (1 + odd * slow) for odd in odds]
    stretch = (1 - _LAST) / falls[-1] if num_steps > 1 else 1.0
    return (*(1 - fall * stretch for fall in falls), 0.0)


def tokens_for_schedule(asked: ScheduleTokens, video_tokens: int) -> int:
    """Return the tokens that a clip's schedule is computed for.

    Args:
        asked: a number, or "clip" for the clip's own.
        video_tokens: tokens of the clip's picture.

    Raises:
        ValueError: it is neither.
    """
    if asked == "clip":
        return video_tokens
    if isinstance(asked, str) or asked < 1:
        raise ValueError(
            f"schedule_tokens is {asked!r}; expected 'clip' or a number of at least 1"
        )
    return asked
