"""One picture per candidate: its frames above the spectrogram of the same moments."""

import functools
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float

from avits_jax.files.atomic import write_bytes
from avits_jax.media.resampling import resize
from avits_jax.types import Media

# Read like a score: each line shows this many frames over their own stretch of sound.
FRAMES_PER_LINE = 8
_MAX_LINES = 2
_TILE_WIDTH = 90
_SOUND_HEIGHT = 84
_GAP = 6
_EDGE = 128  # grey of the lines between frames
_FLOOR_DB = -70.0
_WINDOW_SECONDS = 0.064
# From silence to the loudest moment; evenly brighter, so that it reads in grey, too.
_COLOURS = "000003 1c1046 50127b 822581 b63679 e55063 fb8660 fec286 fbfcbf"


def write_previews(
    folder: str | os.PathLike[str], media: Media, *, fps: float, sample_rate: int
) -> list[Path]:
    """Write ``previews/candidate_000.png`` and so on into a run folder.

    All spectrograms share one colour scale, from the loudest moment of any candidate
    down 70 dB, so that their loudness can be compared.

    Args:
        folder: the run folder; ``previews`` is made in it.
        media: clips of all candidates; NaN is drawn as black and silence.
        fps: frames per second of the video.
        sample_rate: Hz of the audio.

    Returns:
        the files, in the order of the candidates.

    Raises:
        ValueError: the two arrays differ in their number of candidates.
        OSError: a file cannot be written.
    """
    count = len(media.video)
    if len(media.audio) != count:
        raise ValueError(
            f"media has {count} videos but {len(media.audio)} sounds: expected as many"
        )
    previews = Path(folder) / "previews"
    previews.mkdir(exist_ok=True)
    num_frames = media.video.shape[1]
    tiles, num_lines = line_layout(num_frames)
    seconds = num_frames / fps
    spectra = [
        mel_spectrogram(_mono(media.audio[index]), sample_rate, seconds)
        for index in range(count)
    ]
    loudest = max(float(spectrum.max()) for spectrum in spectra)
    paths = []
    for index, spectrum in enumerate(spectra):
        frames = _frames(media.video[index], tiles * num_lines)
        image = _compose(frames, spectrum - loudest, tiles, num_lines)
        path = previews / f"candidate_{index:03d}.png"
        paths.append(write_bytes(path, _png(image)))
    return paths


def line_layout(num_frames: int) -> tuple[int, int]:
    """Return frames per line and number of lines in a preview of a clip."""
    if num_frames < 2 * FRAMES_PER_LINE:
        return min(num_frames, FRAMES_PER_LINE), 1
    return FRAMES_PER_LINE, _MAX_LINES


def mel_spectrogram(
    audio: Float[np.ndarray, " S"], sample_rate: int, seconds: float
) -> Float[np.ndarray, "B T"]:
    """Return power in decibels over mel-spaced bands, low bands first.

    Args:
        audio: mono, in [-1, 1].
        sample_rate: Hz.
        seconds: length of the time axis; the sound is cut or padded to it.
    """
    window = 2 ** round(math.log2(_WINDOW_SECONDS * sample_rate))
    num_steps = FRAMES_PER_LINE * _MAX_LINES * _TILE_WIDTH // 3
    centres = (np.arange(num_steps) + 0.5) * seconds / num_steps * sample_rate
    starts = np.rint(centres).astype(int)
    padded = np.pad(audio, window // 2)
    room = max(0, int(starts[-1]) + window - len(padded))
    padded = np.pad(padded, (0, room))
    pieces = padded[starts[:, None] + np.arange(window)] * np.hanning(window)
    power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2
    bands = _mel_bands(window, sample_rate, _SOUND_HEIGHT)
    # Most of a triangle is zero: the whole product would take longer than all the rest.
    spans = [slice(own[0], own[-1] + 1) for own in map(np.flatnonzero, bands)]
    sums = [
        power[:, span] @ band[span] for band, span in zip(bands, spans, strict=True)
    ]
    return 10 * np.log10(np.stack(sums) / window**2 + 1e-12)


@functools.cache
def _mel_bands(window: int, sample_rate: int, count: int) -> np.ndarray:
    """Return triangles ``[count, bins]``, never narrower than one frequency bin."""
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
    bin_width = sample_rate / window
    bins = np.arange(window // 2 + 1) * bin_width
    half = np.maximum((edges[2:] - edges[:-2]) / 2, bin_width)[:, None]
    weights = np.maximum(1 - np.abs(bins - edges[1:-1, None]) / half, 0)
    return weights / weights.sum(1, keepdims=True)


def _mono(audio: object) -> np.ndarray:
    samples = np.nan_to_num(np.asarray(audio, np.float32), posinf=0, neginf=0)
    return samples if samples.ndim == 1 else samples.mean(0)


def _frames(video: object, count: int) -> list[np.ndarray]:
    """Pick ``count`` frames at even times, as uint8 tiles."""
    values = np.nan_to_num(np.asarray(video, np.float32), posinf=0, neginf=0)
    picked = values[np.arange(count) * len(values) // count]
    return [_tile(np.rint(np.clip(f, 0, 1) * 255).astype(np.uint8)) for f in picked]


def _tile(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    if width < _TILE_WIDTH:  # whole factors keep small pixels sharp and equal
        factor = math.ceil(_TILE_WIDTH / width)
        return frame.repeat(factor, axis=0).repeat(factor, axis=1)
    tile_height = max(1, round(_TILE_WIDTH * height / width))
    return np.rint(resize(frame, tile_height, _TILE_WIDTH) * 255).astype(np.uint8)


def _compose(
    frames: list[np.ndarray], decibels: np.ndarray, tiles: int, num_lines: int
) -> np.ndarray:
    """Stack lines of frames and sound, with clear gaps, as ``[H, W, 4]`` uint8."""
    lines = []
    for number, sound in enumerate(np.array_split(decibels, num_lines, axis=1)):
        pictures = np.hstack(frames[number * tiles : (number + 1) * tiles])
        edges = np.arange(1, tiles) * (pictures.shape[1] // tiles)
        pictures[:, edges] = pictures[:, edges - 1] = _EDGE
        lines.append(np.vstack([pictures, _colours(sound, pictures.shape[1])]))
    height, width = lines[0].shape[:2]
    image = np.zeros(((height + _GAP) * num_lines - _GAP, width, 4), np.uint8)
    for number, line in enumerate(lines):
        top = number * (height + _GAP)
        image[top : top + height, :, :3] = line
        image[top : top + height, :, 3] = 255
    return image


def _colours(decibels: np.ndarray, width: int) -> np.ndarray:
    """Return ``[H, width, 3]`` uint8, high bands first, the floor black."""
    columns = np.arange(width) * decibels.shape[1] // width
    level = np.clip(1 - decibels[::-1, columns] / _FLOOR_DB, 0, 1)
    stops = np.frombuffer(bytes.fromhex(_COLOURS), np.uint8).reshape(-1, 3)
    places = np.linspace(0, 1, len(stops))
    mixed = [np.interp(level, places, channel) for channel in stops.T]
    return np.rint(np.stack(mixed, axis=-1)).astype(np.uint8)


def _png(image: np.ndarray) -> bytes:
    """Encode ``[H, W, 4]`` uint8 red, green, blue and opacity."""
    import av

    context = av.CodecContext.create("png", "w")
    context.height, context.width = image.shape[:2]
    context.pix_fmt, context.time_base = "rgba", Fraction(1)
    context.options = {"compression_level": "3"}  # half the time, a sixth more bytes
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgba")
    packets = [*context.encode(frame), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
