"""Which picture is shown when, once pictures at any times get a constant rate."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MAX_RATE = 240.0  # frames per second
_EXACT = 0.004  # seconds; clocks that count milliseconds are this exact
_LOOSE = 0.05  # seconds that a picture at a variable rate may be moved
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
    Otherwise the rate is the lowest of a few at which every picture gets a frame of its
    own, in order and near its time; where there is none, pictures too close together
    are left out.

    Args:
        times: ``[P]`` of the pictures in seconds, rising from 0.
        end: when the last picture ends, seconds.
        declared: rates that the file declares, frames per second.
        limit: where the frames end if the pictures do not.
    """
    rate, slots, constant = _steady(times, declared) or _lively(times, declared)
    count = int(slots[-1]) + 1
    if end > limit:
        count = round(limit * rate)
    elif not constant:
        count = max(count, round(end * rate))
    frames = np.arange(max(1, count))
    picks = np.searchsorted(slots, frames, side="right") - 1
    step = math.ceil(rate / MAX_RATE)
    return Schedule(rate / step, picks[::step], constant)


class _Grid(NamedTuple):
    rate: float
    slots: np.ndarray  # the frame at which each picture appears
    constant: bool


def thinned(plan: Schedule, most: float) -> Schedule:
    """Leave out frames, a whole number of each, towards ``most`` frames in all.

    At least 24 frames a second are left, so that there may be more than ``most``.
    """
    wanted = math.ceil(len(plan.picks) / max(most, 1))
    step = max(1, min(wanted, int(plan.fps // _SMOOTH)))
    return plan._replace(fps=plan.fps / step, picks=plan.picks[::step])


def _steady(times: np.ndarray, declared: Sequence[float]) -> _Grid | None:
    """Return a rate that the times follow as they are."""
    for rate in (*declared, *_average_rates(times)):
        slots = _own_slots(times, rate)
        if _error(times, slots, rate) < min(_EXACT, 0.5 / rate):
            return _Grid(rate, slots, True)
    return None


def _lively(times: np.ndarray, declared: Sequence[float]) -> _Grid:
    """Return the lowest rate at which every picture can be shown near its time."""
    rates = (*declared, *_average_rates(times), *_step_rates(times))
    for rate in sorted(rate for rate in rates if rate <= _LIVELY):
        slots = _own_slots(times, rate)
        if _error(times, slots, rate) <= min(_LOOSE, 1 / rate):
            return _Grid(rate, slots, False)
    return _Grid(_LIVELY, np.rint(times * _LIVELY).astype(int), False)


def _average_rates(times: np.ndarray) -> Iterator[float]:
    """Yield the average rate as players would name it, and as it is."""
    if times[-1] > 0:
        rate = (len(times) - 1) / float(times[-1])
        yield _tidy(rate)
        yield rate


def _step_rates(times: np.ndarray) -> Iterator[float]:
    """Yield the rates of the usual and of the smallest step, and the highest."""
    steps = np.diff(times)
    steps = steps[steps > 1 / _LIVELY]
    if len(steps):
        yield _tidy(1 / float(np.median(steps)))
        yield _tidy(1 / float(steps.min()))
    yield _LIVELY


def _tidy(rate: float) -> float:
    """Return a whole rate near ``rate``, or ``rate``."""
    # Containers that count milliseconds make 30 fps look like 30.3.
    return float(round(rate)) if abs(rate / max(round(rate), 1) - 1) < 0.02 else rate


def _own_slots(times: np.ndarray, rate: float) -> np.ndarray:
    """Return the frame nearest to each time that no earlier picture has."""
    index = np.arange(len(times))
    nearest = np.ceil(times * rate - 0.5 - 1e-6).astype(int)
    return np.maximum.accumulate(nearest - index) + index


def _error(times: np.ndarray, slots: np.ndarray, rate: float) -> float:
    """Return by how many seconds a picture is moved at most."""
    return float(np.abs(slots / rate - times).max())
