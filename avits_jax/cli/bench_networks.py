"""What networks of metrics make of a clip: features, or a column of a table."""

import functools
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.bench.columns import BENCH
from avits_jax.catalogue.names import TINY
from avits_jax.catalogue.resolve import Resolved
from avits_jax.media import Clip, mono_sound
from avits_jax.metrics.bench_sound import read_bench_sound
from avits_jax.metrics.frames import spread_frames
from avits_jax.nn.resample import resample
from avits_jax.types import PyTree

# What JavisBench's published command looks at and hears.
_FRAMES, _RATE, _SECONDS = 24, 16_000, 4.0
_AUDIOCLIP_RATE = 44_100
_HAVE_MODES = ("i3d", "audioclip")

Found = dict[str, np.ndarray]


class ReadClip(NamedTuple):
    """A clip that was read, once for all metrics.

    Attributes:
        clip: pictures and sound.
        sound: the file of its sound.
    """

    clip: Clip
    sound: Path


class NetworkView:
    """A network of `avits_jax.metrics`, compiled once for each size of clip."""

    def __init__(self, resolved: Resolved, gives: Sequence[str], mode: str) -> None:
        """Load its weights, or draw them.

        Args:
            resolved: which network, and where its weights are.
            gives: names of what it finds.
            mode: of the benchmark.

        Raises:
            ValueError: its checkpoint is damaged.
        """
        self.name, self.gives, self._mode = resolved.info.name, tuple(gives), mode
        tiny = resolved.request.checkpoint == TINY
        load = importlib.import_module(f"avits_jax.metrics.{self.name}.parts").load
        modes = {"mode": mode} if self.name in _HAVE_MODES else {}
        apply, self._params = load(
            resolved.folder,
            random_weights=resolved.drawn and not tiny,
            tiny=tiny,
            **modes,
        )
        self._jitted = jax.jit(apply)

    def find(self, read: ReadClip) -> Found:
        """Return what the network makes of a clip, by name.

        Raises:
            ValueError: the clip is too short for it, or has no sound.
        """
        inputs = _INPUTS[self.name](read, self._mode)
        found = jax.tree.leaves(self._jitted(self._params, *inputs))
        rows = (np.asarray(each[0], np.float32) for each in found)
        return dict(zip(self.gives, rows, strict=True))


def _i3d(read: ReadClip, mode: str) -> tuple[PyTree, ...]:
    frames = spread_frames(len(read.clip.video), _FRAMES)
    return (read.clip.video[frames][None],)


def _audioclip(read: ReadClip, mode: str) -> tuple[PyTree, ...]:
    if mode == BENCH:
        return (read_bench_sound(read.sound, _RATE, _SECONDS)[None],)
    return (_mono(read, _AUDIOCLIP_RATE),)


def _cavp(read: ReadClip, mode: str) -> tuple[PyTree, ...]:
    from avits_jax.metrics.cavp.preprocess import quarter_frames

    frames = quarter_frames(len(read.clip.video), read.clip.fps)
    if mode == BENCH:
        sound = read_bench_sound(read.sound, _RATE)[None]
    else:
        sound = _mono(read, _RATE)
    return read.clip.video[frames][None], sound


def _sound(read: ReadClip, mode: str, rate: int) -> tuple[PyTree, ...]:
    from avits_jax.metrics.sound import at_rate

    _require_sound(read.clip)
    audio = jnp.asarray(read.clip.audio)[None]
    return (at_rate(audio, read.clip.sample_rate, rate),)


def _mono(read: ReadClip, rate: int) -> PyTree:
    _require_sound(read.clip)
    audio, _ = mono_sound(read.clip)
    return resample(jnp.asarray(audio)[None], read.clip.sample_rate, rate)


def _require_sound(clip: Clip) -> None:
    if not clip.sample_rate:
        raise ValueError("the clip has no sound")


_INPUTS: dict[str, Callable[[ReadClip, str], tuple[PyTree, ...]]] = {
    "i3d": _i3d,
    "audioclip": _audioclip,
    "cavp": _cavp,
    "cnn14": functools.partial(_sound, rate=16_000),
    "vggish": functools.partial(_sound, rate=16_000),
    "passt": functools.partial(_sound, rate=32_000),
}
