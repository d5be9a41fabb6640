"""The mini world: a coloured shape bounces, and every impact sounds.

A scene is a handful of numbers; `render` turns it into pixels and samples. The world is
the source of mini's training data and of the clips its analysers are tested on.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from avits_jax.types import Media

COLORS = ("red", "yellow", "green", "blue", "purple")
SHAPES = ("circle", "square", "triangle")
COUNTS = (1, 2, 3, 4)
SOUNDS = ("bell", "drum", "wood", "cymbal")

NUM_FRAMES = 16
SIZE = 32
FPS = 8.0
SAMPLE_RATE = 16_000
NUM_SAMPLES = 32_000
SECONDS = 2.0

FLOOR = 28.0  # pixel row of the floor line
RGB = np.array(
    [
        [0.90, 0.16, 0.14],
        [0.95, 0.85, 0.15],
        [0.15, 0.75, 0.25],
        [0.15, 0.35, 0.95],
        [0.65, 0.20, 0.85],
    ],
    np.float32,
)
BACKGROUND_TOP = np.array([0.10, 0.11, 0.14], np.float32)
BACKGROUND_BOTTOM = np.array([0.17, 0.18, 0.22], np.float32)
FLOOR_RGB = np.array([0.36, 0.36, 0.40], np.float32)

# Shortest and longest time between impacts, in seconds, for 1, 2, 3, 4 impacts: chosen
# so that exactly that many fall inside the clip, away from both ends.
_GAP_RANGE = np.array(
    [[1.20, 1.70], [0.76, 1.00], [0.54, 0.68], [0.43, 0.50]], np.float32
)
_FIRST, _LAST = 0.2, 1.8


class Scene(NamedTuple):
    """One clip of the world; every field is a scalar unless a shape is given.

    Attributes:
        color: index into COLORS.
        shape: index into SHAPES.
        impacts: number of impacts, 1 to 4.
        sound: index into SOUNDS.
        first: time of the first impact, seconds.
        gap: time between impacts, seconds.
        radius: pixels.
        x: horizontal centre at mid-clip, pixels.
        drift: horizontal speed, pixels per second.
        tint: ``[3]`` factor on the colour.
        pitch: factor on all frequencies.
        loudness: ``[4]`` peak level of each impact.
    """

    color: Int[Array, ""]
    shape: Int[Array, ""]
    impacts: Int[Array, ""]
    sound: Int[Array, ""]
    first: Float[Array, ""]
    gap: Float[Array, ""]
    radius: Float[Array, ""]
    x: Float[Array, ""]
    drift: Float[Array, ""]
    tint: Float[Array, "3"]
    pitch: Float[Array, ""]
    loudness: Float[Array, "4"]


def sample_scene(key: Key[Array, ""]) -> Scene:
    """Draw a scene: attributes uniform, the rest from the ranges written here."""
    k = jax.random.split(key, 12)
    uniform = jax.random.uniform
    impacts = jax.random.randint(k[2], (), 1, 5)
    low, high = jnp.asarray(_GAP_RANGE)[impacts - 1]
    gap = uniform(k[4], (), minval=low, maxval=high)
    earliest = jnp.maximum(_FIRST, 2.05 - impacts * gap)
    latest = jnp.minimum(gap - 0.02, _LAST - (impacts - 1) * gap)
    return Scene(
        color=jax.random.randint(k[0], (), 0, len(COLORS)),
        shape=jax.random.randint(k[1], (), 0, len(SHAPES)),
        impacts=impacts,
        sound=jax.random.randint(k[3], (), 0, len(SOUNDS)),
        first=uniform(k[5], (), minval=earliest, maxval=latest),
        gap=gap,
        radius=uniform(k[6], (), minval=4.8, maxval=6.0),
        x=uniform(k[7], (), minval=11.0, maxval=21.0),
        drift=uniform(k[8], (), minval=-3.5, maxval=3.5),
        tint=uniform(k[9], (3,), minval=0.92, maxval=1.05),
        pitch=uniform(k[10], (), minval=0.97, maxval=1.03),
        loudness=uniform(k[11], (4,), minval=0.55, maxval=0.75),
    )


def impact_times(scene: Scene) -> Float[Array, "4"]:
    """Return the impacts' times in seconds; entries from ``impacts`` on are 1e3."""
    index = jnp.arange(4)
    return jnp.where(index < scene.impacts, scene.first + index * scene.gap, 1e3)


def _height(scene: Scene, time: Float[Array, " F"]) -> Float[Array, " F"]:
    """Return the height above the floor in pixels: parabolas between impacts."""
    apex = 9.0 + 8.0 * jnp.minimum(1.0, (scene.gap - 0.4) / 0.9)
    phase = (time - scene.first) / scene.gap
    u = phase - jnp.floor(phase)
    return apex * 4.0 * u * (1.0 - u)


def _signed_distance(scene: Scene, x, y) -> Float[Array, "F H W"]:
    """Return the distance to the edge in pixels, negative inside, from its foot."""
    r = scene.radius
    side = 0.90 * r
    outer = 1.30 * r  # circumradius of the triangle
    circle = jnp.hypot(x, y - r) - r
    square = jnp.maximum(jnp.abs(x), jnp.abs(y - side)) - side
    half = jnp.sqrt(3.0) / 2.0
    triangle = jnp.maximum(half * jnp.abs(x) + 0.5 * (y - 1.5 * outer), -y)
    return jnp.stack([circle, square, triangle])[scene.shape]


def render_frames(
    scene: Scene, time: Float[Array, " F"]
) -> Float[Array, "F SIZE SIZE 3"]:
    """Draw the scene at the given times (seconds), antialiased, values in [0, 1]."""
    grid = jnp.arange(SIZE) + 0.5
    foot = FLOOR - _height(scene, time)
    center = scene.x + scene.drift * (time - SECONDS / 2)
    x = grid[None, None, :] - center[:, None, None]
    y = foot[:, None, None] - grid[None, :, None]
    cover = jnp.clip(0.5 - _signed_distance(scene, x, y), 0.0, 1.0)[..., None]
    ramp = (grid / SIZE)[:, None, None]
    wall = BACKGROUND_TOP * (1 - ramp) + BACKGROUND_BOTTOM * ramp
    ground = jnp.where(grid[:, None, None] >= FLOOR, FLOOR_RGB, wall)
    color = jnp.clip(jnp.asarray(RGB)[scene.color] * scene.tint, 0.0, 1.0)
    return cover * color + (1 - cover) * ground


def _strike(scene: Scene, noise: Float[Array, " S"]) -> Float[Array, " S"]:
    """Render one impact of the scene's material from sample 0 on, peak about 1."""
    t = jnp.arange(NUM_SAMPLES) / SAMPLE_RATE
    tau = 2 * jnp.pi * scene.pitch

    def partials(freqs, decays, gains):
        waves = jnp.sin(tau * jnp.array(freqs)[:, None] * t)
        rings = jnp.exp(-t / jnp.array(decays)[:, None])
        return jnp.sum(jnp.array(gains)[:, None] * waves * rings, 0)

    bell = partials(
        [880.0, 1760.0, 2430.0, 3580.0], [0.40, 0.28, 0.18, 0.10], [0.5, 0.3, 0.2, 0.15]
    )
    sweep = tau * (65.0 * t + 90.0 * 0.03 * (1 - jnp.exp(-t / 0.03)))
    low = jnp.convolve(noise[:2000], jnp.hanning(16) / 7.5, mode="same")
    thud = jnp.pad(low * jnp.exp(-t[:2000] / 0.012), (0, NUM_SAMPLES - 2000))
    drum = jnp.sin(sweep) * jnp.exp(-t / 0.13) + 0.5 * thud
    wood = partials([1050.0, 1620.0, 2650.0], [0.030, 0.022, 0.012], [0.6, 0.4, 0.3])
    hiss = noise - jnp.convolve(noise, jnp.hanning(9) / 4.0, mode="same")
    cymbal = 0.45 * hiss * jnp.exp(-t / 0.14)
    return jnp.stack([bell, drum, wood, cymbal])[scene.sound] * jnp.minimum(
        1.0, t / 0.001
    )


def render_audio(key: Key[Array, ""], scene: Scene) -> Float[Array, " S"]:
    """Render the sound at 16 kHz, [-1, 1]; ``key`` draws drum and cymbal noise."""
    strike = _strike(scene, jax.random.normal(key, (NUM_SAMPLES,)))
    starts = jnp.round(impact_times(scene) * SAMPLE_RATE).astype(jnp.int32)
    starts = jnp.clip(starts, 0, NUM_SAMPLES)
    silence = jnp.concatenate([jnp.zeros(NUM_SAMPLES), strike])

    def struck(start, level):
        shifted = jax.lax.dynamic_slice(silence, (NUM_SAMPLES - start,), (NUM_SAMPLES,))
        return level * shifted

    return jnp.clip(jnp.sum(jax.vmap(struck)(starts, scene.loudness), 0), -1.0, 1.0)


def frame_times() -> Float[np.ndarray, " F"]:
    """Return the middle of each frame in seconds, the instant that it shows."""
    return ((np.arange(NUM_FRAMES) + 0.5) / FPS).astype(np.float32)


def render(key: Key[Array, ""], scene: Scene) -> Media:
    """Render one scene; vmap over keys and scenes for a batch.

    Returns:
        Media without candidate axis: video ``[16, 32, 32, 3]``, audio ``[32000]``.
    """
    video = render_frames(scene, jnp.asarray(frame_times()))
    return Media(video, render_audio(key, scene))
