"""A toy backend that the command line loads in place of a real one."""

import jax
import jax.numpy as jnp
import pytest

from avits_jax import report, verifiers
from avits_jax.catalogue import generators as known_models
from avits_jax.catalogue import verifiers as known
from avits_jax.catalogue.records import Info
from avits_jax.cli import backend, verifying
from avits_jax.cli.errors import as_cli_error
from avits_jax.types import Candidates, Cond, Generator, Media, Params, Verifier

_SIGMAS = {1: (1.0, 0.0), 2: (1.0, 0.5, 0.0), 4: (1.0, 0.75, 0.5, 0.25, 0.0)}


FAKES = ("width", "seconds", "sound_seconds", "loud")


def info(name: str) -> Info:
    """Return an entry of ``avits list``."""
    return Info(name, f"{name} for tests", "Apache-2.0", None)


def toy_generator(num_steps: int = 2) -> Generator:
    """Return a generator of 4 frames of one colour and half a second of one tone."""

    def init(params, keys, cond):
        return Candidates(jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys))

    def step(params, keys, candidates, i, cond):
        return candidates._replace(latents=0.9 * candidates.latents + 0.1 * cond)

    def decode(params, candidates):
        colors = jax.nn.sigmoid(params * candidates.latents)
        video = jnp.broadcast_to(
            colors[:, None, None, None], (len(colors), 4, 16, 16, 3)
        )
        time = jnp.arange(4000) / 8000
        tone = jnp.sin(2 * jnp.pi * (200 + 400 * colors[:, :1]) * time)
        return Media(video, 0.5 * tone)

    return Generator(
        init,
        step,
        decode,
        lambda params, candidates, i, cond: cond + 0 * candidates.latents,
        _SIGMAS[num_steps],
        nfe_per_step=2,
        fps=8.0,
        sample_rate=8000,
        encode=_encode,
    )


def _encode(prompt: str):
    if "circle" not in prompt:
        raise ValueError(f"toy understands circles alone, got {prompt!r}")
    return jnp.asarray([1.0, -1.0, 0.0])


def _verifier(name: str) -> Verifier:
    channel = {"red": 0, "green": 1, "blue": 2, "broken": 2}[name]

    def score(params, media, cond):
        if name == "broken":
            return jnp.full(media.video.shape[0], jnp.nan)
        # A dark blue candidate has no reward from green.
        reward = params * media.video[..., channel].mean((1, 2, 3))
        failed = (media.video[..., 2].mean((1, 2, 3)) < 0.2) & (name == "green")
        return jnp.where(failed, jnp.nan, reward)

    return Verifier(name, score, encode=lambda prompt: jnp.zeros(()))


@pytest.fixture
def toy_backend(monkeypatch, tmp_path):
    """Make the command line load the toy, in an empty working folder."""

    def load(options, names, mesh=None):
        num_steps = options.steps
        with as_cli_error():
            if num_steps is not None and num_steps not in _SIGMAS:
                raise ValueError(f"num_steps must be 1, 2 or 4, got {num_steps}")
        judges = tuple(_verifier(each.name) for each in names.verifiers)
        params = Params(jnp.float32(2), (jnp.float32(1),) * len(judges))
        return backend.Backend(toy_generator(num_steps or 2), judges, params, names)

    def encode(loaded, prompt):
        with as_cli_error():
            own = loaded.generator.encode(prompt)
            return Cond(own, tuple(v.encode(prompt) for v in loaded.verifiers))

    names = ("red", "green", "blue", "broken")
    models, judges = [info("toy")], [info(name) for name in names]
    monkeypatch.setattr(known_models, "infos", lambda *_: models)
    monkeypatch.setattr(known, "infos", lambda: judges)
    monkeypatch.setattr(verifying, "MINI", {name: "for tests" for name in names})
    monkeypatch.setattr(backend, "load", load)
    monkeypatch.setattr(backend, "encode", encode)
    monkeypatch.chdir(tmp_path)
    enabled = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", enabled)


def fake_verifier(name, fps, sample_rate, traced):
    def score(params, media, cond):
        traced.append(name)
        count, samples = len(media.video), media.audio.shape[-1]
        if name in ("sound_seconds", "loud") and not samples:
            raise ValueError(f"{name}: a clip must have at least 1 sample of sound")
        if name == "seconds" and media.video.shape[1] < 2:
            raise ValueError(f"{name}: a clip must have at least 2 frames, got 1")
        value = {
            "width": jnp.float32(media.video.shape[3]),
            "seconds": jnp.float32(media.video.shape[1] / fps),
            "sound_seconds": jnp.float32(samples / sample_rate),
            "loud": jnp.abs(media.audio).max() if samples else 0.0,
        }
        return jnp.full(count, value[name])

    def encode(prompt):
        if name == "loud" and "unheard" in prompt:
            raise ValueError(f"loud does not understand {prompt!r}")
        return jnp.zeros(())

    return Verifier(name, score, encode)


@pytest.fixture
def loads(toy_backend, monkeypatch):
    """Add a family that takes any clip; return its loads and what was traced."""
    seen, traced = [], []

    def load(names, *, fps, sample_rate, networks, **options):
        seen.append((fps, sample_rate, id(networks)))
        made = [fake_verifier(each.name, fps, sample_rate, traced) for each in names]
        return tuple(made), (jnp.zeros(()),) * len(names)

    infos = [info(name) for name in (*FAKES, "red", "green")]
    monkeypatch.setattr(known, "infos", lambda: infos)
    monkeypatch.setattr(verifiers, "load", load)
    return seen, traced


@pytest.fixture
def no_pictures(monkeypatch):
    """Leave the previews out, which take most of a small run's time."""
    monkeypatch.setattr(report, "write_previews", lambda *args, **rates: [])


@pytest.fixture
def toy_flags():
    """Flags of a small search over the toy."""
    return [
        *("--model", "toy", "--verifiers", "red,green", "--num-candidates", "3"),
        "--no-compilation-cache",
    ]
