"""Which picture is shown when, once pictures at any times get a constant rate."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

_HIGHEST = 240.0  # frames per second
_EXACT = 0.004  # seconds; clocks that count milliseconds are this exact
_CLOSE, _LOOSE = 0.008, 0.05  # seconds that a picture at a variable rate may be moved
_LIVELY = 60.0  # frames per second, no more where the rate varies
_SMOOTH = 24.0  # frames per second; thinning leaves no fewer


class Schedule(NamedTuple):
    """Pictures at a constant rate.

    Attributes:
        fps: frames per second.
        picks: for each frame the number of the picture that it shows, rising.
        constant: whether the rate was constant before.
    """

    fps: float
    picks: np.ndarray
    constant: bool

    @property
    def seconds(self) -> float:
        """Return how long the frames last."""
        return len(self.picks) / self.fps


def schedule(
    times: np.ndarray, end: float, declared: Sequence[float], limit: float = math.inf
) -> Schedule:
    """Choose a rate and say which picture each frame shows.

    Times that follow a declared or their own average rate keep it, one frame a picture.
    Otherwise the rate is that of the usual step, of the file or of the smallest step,
    up to 60, if it gives every picture a frame of its own, in order and within 8 ms of
    its time; failing that, the lowest that does within 50 ms. Failing that, pictures
    too close together are left out.

    Args:
        times: ``[P]`` of the pictures in seconds, rising from 0.
        end: when the last picture ends, seconds.
        declared: rates that the file declares, frames per second.
        limit: where the frames end if the pictures do not.
    """
    rate, slots, constant = _grid(times, declared)
    count = int(slots[-1]) + 1
    if end > limit:
        count = round(limit * rate)
    elif not constant:
        count = max(count, round(end * rate))
    frames = np.arange(max(1, count))
    picks = np.searchsorted(slots, frames, side="right") - 1
    return Schedule(rate, picks, constant)


class _Grid(NamedTuple):
    rate: float
    slots: np.ndarray  # the frame at which each picture appears
    constant: bool


def thinned(plan: Schedule, most: float) -> Schedule:
    """Keep the first frame of each group, to have ``most`` of them.

    At least 24 a second are left, so that there may be many more than ``most``; and at
    most 240 a second, whatever ``most`` is.
    """
    wanted = math.ceil(len(plan.picks) / max(most, 1))
    step = min(wanted, int(plan.fps // _SMOOTH))
    step = max(1, step, math.ceil(plan.fps / _HIGHEST))
    return plan._replace(fps=plan.fps / step, picks=plan.picks[::step])


def _grid(times: np.ndarray, declared: Sequence[float]) -> _Grid:
    average = tuple(_average_rates(times))
    for rate in (*declared, *average):
        slots = _own_slots(times, rate)
        if slots[-1] == len(times) - 1 and _fits(times, slots, rate, _EXACT, 0.5):
            return _Grid(rate, slots, True)
    usual = [*_step_rates(times), *declared, *average, _LIVELY]
    usual = [rate for rate in usual if rate <= _LIVELY]
    for rates, seconds, frames in ((usual, _CLOSE, 0.5), (sorted(usual), _LOOSE, 1.0)):
        for rate in rates:
            slots = _own_slots(times, rate)
            if _fits(times, slots, rate, seconds, frames):
                return _Grid(rate, slots, False)
    return _Grid(_LIVELY, np.rint(times * _LIVELY).astype(int), False)


def _average_rates(times: np.ndarray) -> Iterator[float]:
    """Yield the average rate as players would name it, and as it is."""
    if times[-1] > 0:
        rate = (len(times) - 1) / float(times[-1])
        yield _tidy(rate)
        yield rate


def _step_rates(times: np.ndarray) -> Iterator[float]:
    """Yield the rates of the usual and of the smallest step."""
    steps = np.diff(times)
    steps = steps[steps > 1 / _LIVELY]
    if len(steps):
        yield _tidy(1 / float(np.median(steps)))
        yield _tidy(1 / float(steps.min()))


def _tidy(rate: float) -> float:
    """Return a whole rate near ``rate``, or ``rate``."""
    # Containers that count milliseconds make 30 fps look like 30.3.
    return float(round(rate)) if abs(rate / max(round(rate), 1) - 1) < 0.02 else rate


def _own_slots(times: np.ndarray, rate: float) -> np.ndarray:
    """Return the frame nearest to each time that no earlier picture has."""
    index = np.arange(len(times))
    nearest = np.ceil(times * rate - 0.5 - 1e-6).astype(int)
    return np.maximum.accumulate(nearest - index) + index


def _fits(
    times: np.ndarray, slots: np.ndarray, rate: float, seconds: float, frames: float
) -> bool:
    """Tell whether pictures are moved by less than so many seconds and frames."""
    moved = float(np.abs(slots / rate - times).max())
    return moved < min(seconds, frames / rate)
