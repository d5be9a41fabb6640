"""A generator with two networks, as its author writes it; nothing else is touched."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.sampling import flow_step, linear_sigmas, noise_like
from avits_jax.types import Candidates, Generator, Media
from avits_jax.weights.model import Download, Model, Part, Source
from avits_jax.weights.name_map import linear


@dataclass(frozen=True)
class ToyConfig:
    """Sizes of either network.

    Attributes:
        width: of its layer.
        size: of its output.
    """

    width: int = 512
    size: int = 48


def _build(config):
    kernel = jax.ShapeDtypeStruct((config.width, config.size), jnp.float32)
    bias = jax.ShapeDtypeStruct((config.size,), jnp.float32)
    return None, {"out": {"kernel": kernel, "bias": bias}}


def _part(name, size):
    return Part(
        name,
        ToyConfig(size=size),
        _build,
        rules=linear("fc", "out"),
        split=((r"out/kernel", -1),),
        sources=(Source((name,)),),
        downloads=(Download(f"{name}/", "someone/toy", 0.001, "MIT"),),
    )


MODEL = Model("toy", (_part("painter", 48), _part("singer", 32)))


class Options(NamedTuple):
    """What the toy leaves to choose.

    Attributes:
        num_steps: denoising steps.
        loudness: of its sound, in [0, 1].
    """

    num_steps: int = 4
    loudness: float = 0.5


def make(configs, files, options):
    """Make the toy."""
    sigmas = linear_sigmas(options.num_steps)
    width = configs["painter"].width

    def init(params, keys, cond):
        return Candidates(noise_like(keys, jnp.zeros((len(keys), width))))

    def predict(params, candidates, i, cond):
        return jnp.tanh(candidates.latents) * cond

    def step(params, keys, candidates, i, cond):
        clean, levels = predict(params, candidates, i, cond), jnp.asarray(sigmas)
        moved = flow_step(candidates.latents, clean, levels[i], levels[i + 1])
        return Candidates(moved)

    def decode(params, candidates):
        video, audio = (
            candidates.latents @ params[name]["out"]["kernel"].astype(jnp.float32)
            for name in ("painter", "singer")
        )
        video = jax.nn.sigmoid(video).reshape(-1, 4, 2, 2, 3)
        return Media(video, options.loudness * jnp.tanh(audio))

    encode = lambda prompt: jnp.float32(len(prompt) % 7 / 7)  # noqa: E731
    return Generator(init, step, decode, predict, sigmas, fps=2.0, encode=encode)


FAMILY = Family("toy", "two toys", __name__, "MIT", checkpoint="toy", convert="toy")
TABLE = (*FAMILIES, FAMILY)
