"""Toys that every test of the core shares: a tiny generator and tiny verifiers.

The arithmetic is elementwise, so that a candidate's numbers do not depend on how many
others are worked on beside it.
"""

import ctypes
import gc
import os
import resource
import signal
import threading
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs of tests run for microseconds; most of their time is compilation.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if version("jaxlib").startswith("0.10."):  # others refuse to start with this flag
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxtyping
import memory_store
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault of a test's.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

# Before anything of the package is imported: annotations are checked in every call.
jaxtyping.install_import_hook("avits_jax", "annotation_checker.checker")

from avits_jax.sampling import flow_step, linear_sigmas, noise_like  # noqa: E402
from avits_jax.types import (  # noqa: E402
    Candidates,
    Cond,
    Generator,
    Media,
    Params,
    Verifier,
)


@pytest.fixture(autouse=True, scope="session")
def heed_ctrl_c():
    """Let Ctrl-C interrupt, also where a shell in the background said to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


_MOST_MEMORY = 2.5 * 2**30  # of a worker, bytes


class Caches:
    """Counts how often JAX's caches were cleared: what was compiled is then gone."""

    cleared = 0


@pytest.fixture(scope="session")
def caches() -> Caches:
    """JAX's caches."""
    return Caches()


@pytest.fixture(autouse=True, scope="module")
def bounded_memory(caches):
    """Clear JAX's caches after a module that leaves much in memory (on Linux)."""
    yield
    status = Path("/proc/self/statm")
    if not status.exists():
        return
    if int(status.read_text().split()[1]) * resource.getpagesize() > _MOST_MEMORY:
        jax.clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        caches.cleared += 1


class Toy(NamedTuple):
    """A search problem of a few numbers.

    Attributes:
        generator: two latents (video ``[N, 3]``, audio ``[N, 2]``).
        verifiers: picture, sound.
        params: weights of both.
        cond: one prompt.
        conds: three prompts, stacked for `jax.vmap`.
    """

    generator: Generator
    verifiers: tuple[Verifier, ...]
    params: Params
    cond: Cond
    conds: Cond


def toy_generator(
    num_steps: int = 6, *, with_extra: bool = False, dtype=jnp.float32
) -> Generator:
    """Return a generator whose clean sample leans on latents, prompt and `extra`."""
    sigmas = linear_sigmas(num_steps)

    def init(params, keys, cond):
        num = keys.shape[0]
        sizes = {"audio": 2, "video": 3}
        shapes = {name: jnp.zeros((num, n), dtype) for name, n in sizes.items()}
        latents = noise_like(keys, shapes)
        if not with_extra:
            return Candidates(latents)
        return Candidates(latents, {"prior": latents["video"][:, 0] * 3})

    def predict(params, candidates, i, cond):
        prior = candidates.extra["prior"] if with_extra else jnp.float32(0)

        def clean(z, target):
            bias = prior[:, None] if with_extra else prior
            wave = jnp.sin(params["frequency"] * z) + 0.3 * bias
            return (jnp.asarray(target)[None] + 0.7 * wave).astype(z.dtype)

        return jax.tree.map(clean, candidates.latents, cond)

    def step(params, keys, candidates, i, cond):
        levels = jnp.asarray(sigmas)
        clean = predict(params, candidates, i, cond)
        latents = flow_step(candidates.latents, clean, levels[i], levels[i + 1])
        return candidates._replace(latents=latents)

    def decode(params, candidates):
        video = jax.nn.sigmoid(candidates.latents["video"])[:, None, None, None]
        ramp = jnp.linspace(0.5, 1, 8).reshape(1, 2, 2, 2, 1)
        audio = jnp.tanh(candidates.latents["audio"])
        return Media(video * ramp, jnp.concatenate([audio, -audio], axis=1))

    return Generator(init, step, decode, predict, sigmas, nfe_per_step=2, fps=2.0)


def toy_verifiers() -> tuple[Verifier, ...]:
    """Return two verifiers on very different scales.

    The second gives up (NaN) on clips whose sound exceeds its weight `limit`.
    """

    def picture(params, media, cond):
        return -params * jnp.square(media.video - cond).mean(axis=(1, 2, 3, 4))

    def sound(params, media, cond):
        reward = params["scale"] * jnp.abs(media.audio[:, 0] - cond)
        return jnp.where(media.audio[:, 0] > params["limit"], jnp.nan, reward)

    return Verifier("picture", picture), Verifier("sound", sound)


def make_toy(num_steps: int = 6, *, with_extra: bool = False, dtype=jnp.float32) -> Toy:
    """Return a toy problem whose generator has a draft of half as many steps."""
    rng = np.random.default_rng(0)
    targets = {
        "audio": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32),
        "video": jnp.asarray(rng.normal(size=(3, 3)), jnp.float32),
    }
    wanted = jnp.asarray([0.3, 0.5, 0.7]), jnp.asarray([0.1, -0.2, 0.3])
    conds = Cond(targets, wanted)
    weights = (
        jnp.float32(9),
        {"limit": jnp.float32(2), "scale": jnp.float32(0.1)},
    )
    whole, draft = (
        toy_generator(steps, with_extra=with_extra, dtype=dtype)
        for steps in (num_steps, num_steps // 2)
    )
    return Toy(
        generator=whole._replace(drafts=(draft,)),
        verifiers=toy_verifiers(),
        params=Params({"frequency": jnp.float32(3)}, weights),
        cond=jax.tree.map(lambda leaf: leaf[0], conds),
        conds=conds,
    )


@pytest.fixture(scope="session")
def toy() -> Toy:
    """The plain toy problem."""
    return make_toy()


@pytest.fixture(scope="session")
def toy_extra() -> Toy:
    """The toy problem whose candidates carry conditioning of their own."""
    return make_toy(with_extra=True)


@pytest.fixture(scope="session")
def build_toy():
    """`make_toy`, for tests that need another number of steps."""
    return make_toy


def _on_the_way_back(add, found, spent):
    """Return `found`, of which a gradient calls ``add(spent)``."""

    @jax.custom_vjp
    def same(found, spent):
        return found

    def back(spent, slopes):
        jax.debug.callback(add, spent)
        return slopes, jnp.zeros_like(spent)

    same.defvjp(lambda found, spent: (found, spent), back)
    return same(found, spent)


class Counter:
    """Counts work as it is done, by callbacks in the instrumented functions.

    A pass backwards counts as a pass.
    """

    def __init__(self) -> None:
        self.nfe = self.decodes = self.verifier_calls = 0
        self._lock = threading.Lock()  # callbacks run on several threads at once

    def counted(self, function, field: str, population, each=lambda *args: 1):
        """Return `function` adding to `field`; ``population(*args)`` has axis N."""

        def wrapped(*args):
            num = jax.tree.leaves(population(*args))[0].shape[0]

            def add(per_candidate) -> None:
                with self._lock:
                    count = getattr(self, field) + num * int(per_candidate)
                    setattr(self, field, count)

            spent = jnp.float32(each(*args))
            jax.debug.callback(add, spent)
            return _on_the_way_back(add, function(*args), spent)

        return wrapped

    def generator(self, generator: Generator) -> Generator:
        """Return `generator` counting its network evaluations and decodes."""
        nfe = generator.nfe_per_step
        steps = (nfe,) * generator.num_steps if isinstance(nfe, int) else nfe

        def spent(*args):
            """The step number stands before the prompt."""
            return jnp.asarray(steps)[args[-2]]

        return generator._replace(
            step=self.counted(generator.step, "nfe", lambda p, k, c, *_: c, spent),
            predict=self.counted(generator.predict, "nfe", lambda p, c, *_: c, spent),
            decode=self.counted(generator.decode, "decodes", lambda p, c: c),
            preview=generator.preview
            and self.counted(generator.preview, "decodes", lambda p, c: c),
            drafts=tuple(map(self.generator, generator.drafts)),
        )

    def verifier(self, verifier: Verifier) -> Verifier:
        """Return `verifier` counting the candidates it scores."""
        score = self.counted(verifier.score, "verifier_calls", lambda p, m, c: m)
        return verifier._replace(score=score)

    def toy(self, toy: Toy) -> Toy:
        """Return `toy` with everything counted."""
        verifiers = tuple(map(self.verifier, toy.verifiers))
        return toy._replace(
            generator=self.generator(toy.generator), verifiers=verifiers
        )

    def cost(self) -> tuple[int, int, int]:
        """Return (nfe, decodes, verifier calls) once all work is done."""
        jax.effects_barrier()
        return self.nfe, self.decodes, self.verifier_calls


@pytest.fixture
def counter() -> Counter:
    """A fresh counter."""
    return Counter()


@pytest.fixture
def bucket(monkeypatch):
    """The class of an empty store in memory that stands for gs:// and s3://."""
    return memory_store.install(monkeypatch)


@pytest.fixture
def unchecked():
    """Leave arguments unchecked, where the package itself shall refuse wrong ones."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def optimized():
    """Compile as users do, where a result leans on how it is rounded."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def strict_core():
    """Turn on what the core must live with: strict promotion, no key used twice."""
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.debug_key_reuse(True),
    ):
        yield
