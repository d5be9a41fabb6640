"""What a mini clip shows and sounds like, measured from pixels and samples alone.

Signal analysis for evaluation only: no search and no verifier may use it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage, signal

from avits_jax.mini_world import world
from avits_jax.mini_world.grammar import Attributes

MAX_LAG = 0.125  # seconds; one frame

_ENVELOPE_HOP = 80  # samples, 5 ms
_SILENCE = 0.02  # root-mean-square level below which a clip counts as silent


class Measurement(NamedTuple):
    """What was measured; -1 or an empty tuple where nothing could be.

    Attributes:
        color, shape, sound: indices into world.COLORS, SHAPES and SOUNDS.
        seen: times of the visible impacts, seconds.
        heard: times of the audible impacts, seconds.
        lag: largest distance between paired impacts, seconds; inf if the numbers of
            seen and heard impacts differ or are 0.
    """

    color: int
    shape: int
    sound: int
    seen: tuple[float, ...]
    heard: tuple[float, ...]
    lag: float


class Verdict(NamedTuple):
    """Which parts of a prompt a clip fulfils; ``impacts`` must be seen and heard."""

    color: bool
    shape: bool
    impacts: bool
    sound: bool
    lag: bool

    @property
    def right(self) -> bool:
        """Tell whether the clip is entirely right."""
        return all(self)


def measure(
    video: Float[np.ndarray, "F H W 3"], audio: Float[np.ndarray, " S"]
) -> Measurement:
    """Measure one clip: video ``[16, 32, 32, 3]`` in [0, 1], audio ``[32000]``."""
    color, shape, seen = _watch(np.asarray(video, np.float64))
    sound, heard = _listen(np.asarray(audio, np.float64))
    lag = np.inf
    if seen and len(seen) == len(heard):
        lag = float(np.max(np.abs(np.subtract(seen, heard))))
    return Measurement(color, shape, sound, seen, heard, lag)


def judge(measurement: Measurement, asked: Attributes) -> Verdict:
    """Compare a measurement with what the prompt asks for."""
    return Verdict(
        color=measurement.color == asked.color,
        shape=measurement.shape == asked.shape,
        impacts=len(measurement.seen) == len(measurement.heard) == asked.impacts,
        sound=measurement.sound == asked.sound,
        lag=measurement.lag <= MAX_LAG,
    )


def _background() -> Float[np.ndarray, "H 1 3"]:
    ramp = ((np.arange(world.SIZE) + 0.5) / world.SIZE)[:, None]
    wall = world.BACKGROUND_TOP * (1 - ramp) + world.BACKGROUND_BOTTOM * ramp
    return wall[:, None]


def _watch(video: Float[np.ndarray, "F H W 3"]):
    """Return colour, shape and impact times of the largest object in each frame."""
    above = slice(0, int(world.FLOOR))
    change = (video - _background())[:, above]
    found = [_object(frame) for frame in change]
    colors, fills, rows = map(np.array, zip(*found, strict=True))
    if np.isnan(fills).sum() > len(fills) // 4:
        return -1, -1, ()
    # Rendered triangles fill 0.58 of their box, circles 0.79, squares all of it.
    fill = np.nanmedian(fills)
    shape = "triangle" if fill < 0.685 else "circle" if fill < 0.895 else "square"
    color = _nearest_color(np.nanmedian(colors, 0))
    return color, world.SHAPES.index(shape), _impacts(rows)


def _object(change: Float[np.ndarray, "H W 3"]):
    """Return mean colour, filled share of its box, and centre row of an object."""
    strength = np.abs(change).max(-1)
    peak = strength.max()
    nothing = (np.full(3, np.nan), np.nan, np.nan)
    if peak < 0.2:
        return nothing
    labels, count = ndimage.label(strength > 0.3 * peak)
    sizes = ndimage.sum_labels(np.ones_like(strength), labels, np.arange(1, count + 1))
    largest = 1 + int(np.argmax(sizes))
    inside = labels == largest
    if sizes[largest - 1] < 12:
        return nothing
    level = np.median(strength[inside & (strength > 0.7 * peak)])
    near = ndimage.binary_dilation(inside, np.ones((3, 3)))
    cover = np.where(near, np.clip(strength / level, 0, 1), 0)
    if cover.mean() > 0.5:  # no object, but a wall of another colour
        return nothing
    box = cover.sum(0).max() * cover.sum(1).max()
    row = (cover.sum(1) * np.arange(len(cover))).sum() / cover.sum()
    core = cover > 0.8
    return change[core].mean(0), cover.sum() / box, row


def _nearest_color(change: Float[np.ndarray, "3"]) -> int:
    """Return the palette colour whose difference from the wall points alike."""
    palette = world.RGB - (world.BACKGROUND_TOP + world.BACKGROUND_BOTTOM) / 2
    cosine = palette @ change / np.linalg.norm(palette, axis=1)
    return int(np.argmax(cosine))


def _impacts(rows: Float[np.ndarray, " F"]) -> tuple[float, ...]:
    """Return when the object turns from falling to rising near the floor."""
    frames = np.arange(len(rows))
    known = ~np.isnan(rows)
    rows = np.interp(frames, frames[known], rows[known])
    peaks, _ = signal.find_peaks(rows, prominence=2.0)
    peaks = peaks[rows[peaks] > rows.max() - 7.0]
    times = []
    for f in peaks:
        left, here, right = rows[f - 1 : f + 2]
        steepest = max(here - min(left, right), 1e-6)
        times.append((f + 0.5 + (right - left) / (2 * steepest)) / world.FPS)
    return tuple(float(t) for t in times)


def _envelope(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, " T"]:
    """Return the root-mean-square level in 10 ms windows, every 5 ms."""
    power = np.convolve(audio**2, np.full(160, 1 / 160), mode="same")
    return np.sqrt(power[::_ENVELOPE_HOP])


def _listen(audio: Float[np.ndarray, " S"]):
    """Return sound and onset times."""
    level = _envelope(audio)
    if level.max() < _SILENCE:
        return -1, ()
    onsets = _onsets(level)
    if not onsets:
        return -1, ()
    return _timbre(audio, onsets), tuple(t / world.SAMPLE_RATE for t in onsets)


def _onsets(level: Float[np.ndarray, " T"]) -> list[int]:
    """Return samples at which the level jumps over its maximum 15 to 50 ms before."""
    before = ndimage.maximum_filter1d(np.pad(level, (10, 0))[: len(level)], 8, origin=3)
    jump = np.maximum(level - before, 0)
    peaks, _ = signal.find_peaks(np.pad(jump, 1), height=0.2 * level.max(), distance=36)
    starts = []
    for peak in peaks - 1:
        # The attack begins where the level first passes half of the jump.
        window = level[max(0, peak - 10) : peak + 1]
        half = before[peak] + 0.5 * jump[peak]
        late = int(np.argmax(window > half))
        starts.append(int(max(0, peak - 10) + late) * _ENVELOPE_HOP)
    return starts


def _timbre(audio: Float[np.ndarray, " S"], onsets: list[int]) -> int:
    """Name the material by pitch region and decay of the strikes, summed."""
    power = np.zeros(513)
    early = late = 0.0
    for start in onsets:
        strike = audio[start : start + 1024]
        strike = np.pad(strike, (0, 1024 - len(strike)))
        power += np.abs(np.fft.rfft(strike * np.hanning(1024))) ** 2
        early += np.mean(strike**2)
        tail = audio[start + 1600 : start + 2600]
        late += np.mean(tail**2) if len(tail) > 500 else 0.0
    share = power / power.sum()
    freqs = np.fft.rfftfreq(1024, 1 / world.SAMPLE_RATE)
    if share[freqs < 400].sum() > 0.5:
        return world.SOUNDS.index("drum")
    if share[freqs > 3900].sum() > 0.35:
        return world.SOUNDS.index("cymbal")
    rings = late > 0.05 * early
    return world.SOUNDS.index("bell" if rings else "wood")
