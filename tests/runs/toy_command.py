"""The command line over a toy model; also a program of its own, to be killed."""

import sys

import jax
import jax.numpy as jnp

from avits_jax.catalogue import generators, verifiers
from avits_jax.catalogue.records import Info
from avits_jax.cli import backend, main
from avits_jax.cli.errors import CliError
from avits_jax.sampling import usual_drafts
from avits_jax.types import Candidates, Cond, Generator, Media, Params, Verifier

# Flags of a small run; every prompt takes some tens of milliseconds.
FLAGS = [
    *("--model", "toy", "--verifiers", "red,loud", "--judge", "green"),
    *("--num-candidates", "4", "--steps", "4", "--no-compilation-cache"),
]
PROMPTS = [f"prompt number {i}" for i in range(6)]


def toy_generator(num_steps: int) -> Generator:
    """Return a generator of two frames of one colour, and a short tone."""
    sigmas = tuple(1 - i / num_steps for i in range(num_steps + 1))

    def init(params, keys, cond):
        return Candidates(jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys))

    def predict(params, candidates, i, cond):
        return jnp.sin(params * candidates.latents) + cond

    def step(params, keys, candidates, i, cond):
        clean = predict(params, candidates, i, cond)
        return candidates._replace(latents=0.5 * (candidates.latents + clean))

    def decode(params, candidates):
        colors = jax.nn.sigmoid(candidates.latents)
        video = jnp.broadcast_to(colors[:, None, None, None], (len(colors), 2, 8, 8, 3))
        time = jnp.arange(800) / 8000
        tone = jnp.sin(2 * jnp.pi * (200 + 400 * colors[:, :1]) * time)
        return Media(video, colors[:, 1:2] * tone)

    generator = Generator(
        init,
        step,
        decode,
        predict,
        sigmas,
        nfe_per_step=2,
        fps=24.0,
        sample_rate=8000,
        encode=_encode,
    )
    return generator._replace(drafts=usual_drafts(generator))


def _encode(prompt: str):
    if "unheard" in prompt:
        raise ValueError(f"toy does not understand {prompt!r}")
    # A prompt that says so breaks every reward.
    place = jnp.nan if "broken" in prompt else (sum(map(ord, prompt)) % 100) / 50 - 1
    return jnp.full(3, place, jnp.float32)


def _verifier(name: str) -> Verifier:
    def score(params, media, cond):
        if name == "loud":
            return 10 * params * cond * jnp.abs(media.audio).mean(1)
        channel = {"red": 0, "green": 1}[name]
        return params * cond * media.video[..., channel].mean((1, 2, 3))

    def encode(prompt):
        return jnp.float32(jnp.nan if "unjudged" in prompt else 1)

    return Verifier(name, score, encode)


def load(options, names, mesh=None):
    """Return the toy for a command's options, with verifiers of these names."""
    judges = tuple(_verifier(each.name) for each in names.verifiers)
    params = Params(jnp.float32(2), (jnp.float32(1),) * len(judges))
    return backend.Backend(toy_generator(options.steps or 4), judges, params, names)


def _encode_for_all(loaded, prompt):
    try:
        own = loaded.generator.encode(prompt)
    except ValueError as error:
        raise CliError(str(error)) from error
    return Cond(own, tuple(v.encode(prompt) for v in loaded.verifiers))


def _info(name: str) -> Info:
    return Info(name, f"{name} for tests", "Apache-2.0", None)


def install(setattr_) -> None:
    """Make the command line load the toy, by ``setattr_(module, name, value)``."""
    setattr_(generators, "infos", lambda *_: [_info("toy")])
    judges = [_info(name) for name in ("red", "green", "loud")]
    setattr_(verifiers, "infos", lambda: judges)
    setattr_(backend, "load", load)
    setattr_(backend, "encode", _encode_for_all)


if __name__ == "__main__":
    install(setattr)
    raise SystemExit(main(sys.argv[1:]))
