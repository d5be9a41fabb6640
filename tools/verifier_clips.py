"""Clips that differ in what they show and sound, for trying out verifiers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from avits_jax.mini_world import world
from avits_jax.types import Media

SAMPLE_RATE = world.SAMPLE_RATE
PROMPT = "a red circle bounces three times with a bell"
_SCENES = 2
_MOST_LAG = 0.5


class Drawn(NamedTuple):
    """What is random of one clip, besides its scenes.

    Attributes:
        lag: seconds that the sound comes late.
        light: exponent of the grey levels.
        level: factor on the sound.
    """

    lag: Float[Array, ""]
    light: Float[Array, ""]
    level: Float[Array, ""]


def _draw(key: Key[Array, ""]) -> Drawn:
    keys = jax.random.split(key, 3)
    return Drawn(
        jax.random.uniform(keys[0], (), minval=0.0, maxval=_MOST_LAG),
        jax.random.uniform(keys[1], (), minval=0.6, maxval=1.6),
        jax.random.uniform(keys[2], (), minval=0.2, maxval=1.0),
    )


def _clip(key: Key[Array, ""], fps: float, scale: int) -> Media:
    """Two scenes one after the other, enlarged, with late sound."""
    scenes, sounds, rest = jax.random.split(key, 3)
    both = jax.vmap(world.sample_scene)(jax.random.split(scenes, _SCENES))
    times = (np.arange(round(world.SECONDS * fps)) + 0.5) / fps
    video = jax.vmap(world.render_frames, (0, None))(both, jnp.asarray(times))
    audio = jax.vmap(world.render_audio)(jax.random.split(sounds, _SCENES), both)
    drawn = _draw(rest)
    video = video.reshape(-1, *video.shape[2:]) ** drawn.light
    for axis in (1, 2):
        video = jnp.repeat(video, scale, axis)
    late = jnp.round(drawn.lag * SAMPLE_RATE).astype(jnp.int32)
    return Media(video, drawn.level * jnp.roll(audio.reshape(-1), late))


def rendered(count: int, *, fps: float, scale: int = 2, seed: int = 0) -> Media:
    """Render clips of mini's world: 4 s of two scenes, sound at 16 kHz.

    Colours, shapes, impacts, timbres, light, loudness and synchrony differ.

    Args:
        count: clips.
        fps: frames per second.
        scale: enlargement of the 32x32 pixels.
        seed: of all that is random.
    """
    keys = jax.random.split(jax.random.key(seed), count)

    # One clip at a time: a batch of sounds needs much memory.
    @jax.jit
    def render(keys):
        return jax.lax.map(lambda key: _clip(key, fps, scale), keys)

    return render(keys)


def rank_correlation(a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"]) -> float:
    """Spearman's correlation of two lists of scores; ties share their mean rank.

    NaN where one list is constant.
    """

    def ranks(x):
        _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    first, second = (ranks(np.asarray(x)) for x in (a, b))
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
