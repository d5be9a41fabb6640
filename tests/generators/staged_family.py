"""A generator of two stages, with pictures, previews and stereo sound at 48 kHz."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.sampling import flow_step, linear_sigmas, noise_like
from avits_jax.types import Candidates, Generator, Media, Refiner
from avits_jax.weights.model import Model, Part

SIDE, FPS, RATE = 32, 8.0, 48_000


@dataclass(frozen=True)
class StagedConfig:
    """Size of its one network."""

    width: int = 3


def _build(config):
    return None, {"kernel": jax.ShapeDtypeStruct((config.width, 3), jnp.float32)}


MODEL = Model("staged", (Part("painter", StagedConfig(), _build),))


class Options(NamedTuple):
    """What it leaves to choose.

    Attributes:
        num_steps: denoising steps of the search.
        resolution: height and width, "32x32" and others.
        duration: a number of frames, or seconds.
        half_size: clips of half the height and width, to be refined.
        preview_decoder: verifiers see clips on the way in grey.
    """

    num_steps: int = 2
    resolution: str = "32x32"
    duration: str | int = 8
    half_size: bool = False
    preview_decoder: bool = False


def make(configs, files, options):
    """Make the generator of the search."""
    return _generator(options, linear_sigmas(options.num_steps), options.half_size)


def make_refiner(configs, files, options):
    """Make the second stage: half of the noise again, and one more step."""
    large = _generator(options, (0.5, 0.0), False)

    def start(params, keys, candidates, cond):
        noise = noise_like(keys, candidates.latents)
        mixed = 0.5 * candidates.latents + 0.5 * noise
        return Candidates(mixed, _pictures(cond, len(keys)))

    return Refiner(start, large)


def _pictures(cond, num):
    if "image" not in cond:
        return ()
    return jnp.broadcast_to(cond["image"], (num, *cond["image"].shape))


def _generator(options, sigmas, half):
    height, width = (int(side) // (1 + half) for side in options.resolution.split("x"))
    frames = options.duration
    if isinstance(frames, str):
        frames = int(FPS * float(frames.removesuffix("s")))
    samples = round(frames * RATE / FPS)

    def init(params, keys, cond):
        latents = noise_like(keys, jnp.zeros((len(keys), 3)))
        return Candidates(latents, _pictures(cond, len(keys)))

    def predict(params, candidates, i, cond):
        return jnp.tanh(candidates.latents + cond["colour"])

    def step(params, keys, candidates, i, cond):
        clean, levels = predict(params, candidates, i, cond), jnp.asarray(sigmas)
        moved = flow_step(candidates.latents, clean, levels[i], levels[i + 1])
        return candidates._replace(latents=moved)

    def decode(params, candidates):
        latents = candidates.latents + 0 * params["painter"]["kernel"].sum()
        colours = jax.nn.sigmoid(2 * latents)[:, None, None, None]
        video = jnp.broadcast_to(colours, (len(colours), frames, height, width, 3))
        video = video * jnp.linspace(0.5, 1, frames)[:, None, None, None]
        if not isinstance(candidates.extra, tuple):
            video = video.at[:, 0].set(candidates.extra)
        time = jnp.arange(samples) / RATE
        tones = 1000 * jnp.asarray([1.0, 4.0])[:, None] * time
        loud = jax.nn.sigmoid(latents[:, :1, None])
        return Media(video, loud * jnp.sin(2 * jnp.pi * tones))

    def preview(params, candidates):
        media = decode(params, candidates)
        grey = media.video.mean(-1, keepdims=True).repeat(3, axis=-1)
        return Media(grey[:, :, ::2, ::2], media.audio.mean(1))

    def with_image(params, cond, image):
        return cond | {"image": image}

    return Generator(
        init,
        step,
        decode,
        predict,
        sigmas,
        fps=FPS,
        sample_rate=RATE,
        encode=lambda prompt: {"colour": jnp.full(3, len(prompt) % 5 / 5)},
        preview=preview if options.preview_decoder else None,
        with_image=with_image,
    )


_CAN = ("image", "refine", "preview_decoder")
TABLE = (
    *FAMILIES,
    Family(
        "staged", "two stages", __name__, "MIT", checkpoint="staged", abilities=_CAN
    ),
    Family(
        "staged-fast",
        "its second stage is that of staged",
        __name__,
        "MIT",
        checkpoint="staged-fast",
        refines_with="staged",
        abilities=_CAN,
    ),
)
