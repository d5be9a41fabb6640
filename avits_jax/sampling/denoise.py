"""Scan a generator over its steps, and convert between clean sample, velocity, noise.

On the path ``z = (1 - s) x + s noise`` the velocity is ``dz/ds = noise - x``. Levels
may be given per part of the latents, see `sampling.steps`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from avits_jax.sampling.mapped import vary_alike
from avits_jax.sampling.schedules import levels_at
from avits_jax.sampling.steps import Levels, combined, flow_step
from avits_jax.types import Candidates, Generator, Keys, PyTree


def velocity_from_clean(latents: PyTree, clean: PyTree, sigma: Levels) -> PyTree:
    """Return the velocity ``(z - x) / s``; `sigma` must be above 0."""
    return combined(lambda s: (1 / s, -1 / s), sigma, latents, clean)


def noise_from_clean(latents: PyTree, clean: PyTree, sigma: Levels) -> PyTree:
    """Return the noise ``(z - (1 - s) x) / s``; `sigma` must be above 0."""
    return combined(lambda s: (1 / s, (s - 1) / s), sigma, latents, clean)


def clean_from_velocity(latents: PyTree, velocity: PyTree, sigma: Levels) -> PyTree:
    """Return the clean sample ``z - s v`` of a flow's velocity ``v = noise - x``.

    The "v-prediction" of variance-preserving models (Salimans & Ho 2022, appendix D) is
    another quantity, ``sqrt(abar) noise - sqrt(1 - abar) x``: see
    `sampling.from_velocity`.
    """
    return combined(lambda s: (1, -s), sigma, latents, velocity)


def clean_from_noise(latents: PyTree, noise: PyTree, sigma: Levels) -> PyTree:
    """Return the clean sample ``(z - s noise) / (1 - s)``; `sigma` must be below 1."""
    return combined(lambda s: (1 / (1 - s), -s / (1 - s)), sigma, latents, noise)


def step_keys(keys: Keys, step: int | Int[Array, ""]) -> Keys:
    """Return each candidate's key for one step: ``fold_in(keys[n], step)``."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, step)


def euler(
    predict: Callable[..., PyTree], sigmas: tuple[Levels, ...]
) -> Callable[..., Candidates]:
    """Make a generator's deterministic `step` of its `predict`, see `flow_step`.

    Args:
        predict: ``(params, candidates, i, cond) -> clean latents``, as in `Generator`.
        sigmas: the generator's noise levels.

    Returns:
        ``(params, keys, candidates, i, cond) -> Candidates``; it ignores the keys.

    Example:
        >>> step = euler(predict, sigmas)
        >>> generator = Generator(init, step, decode, predict, sigmas)
    """

    def step(
        params: PyTree,
        keys: Keys,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: PyTree,
    ) -> Candidates:
        clean = predict(params, candidates, i, cond)
        now, after = levels_at(sigmas, i), levels_at(sigmas, i + 1)
        latents = flow_step(candidates.latents, clean, now, after)
        return candidates._replace(latents=latents)

    return step


def _replace_if(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def denoise(
    params: PyTree,
    keys: Keys,
    candidates: Candidates,
    cond: PyTree,
    *,
    generator: Generator,
    start: int = 0,
    stop: int | None = None,
    captures: tuple[int, ...] = (),
) -> tuple[Candidates, tuple[Candidates, ...]]:
    """Run steps ``start .. stop - 1`` of a generator as one `jax.lax.scan`.

    Step ``i`` gets the keys ``fold_in(keys[n], i)``; a candidate therefore sees the
    same noise however a run is divided into pieces.

    Args:
        params: the generator's weights.
        keys: ``[N]`` typed keys, one per candidate.
        candidates: population at ``sigmas[start]``.
        cond: the generator's view of the prompt.
        generator: the generator.
        start: first step, in [0, num_steps].
        stop: one past the last step, in [start, num_steps]; None for num_steps.
        captures: steps in [start, stop] whose population is wanted, too.

    Returns:
        The population at ``sigmas[stop]``, and one population per capture, each as it
        is before that step is taken (for `stop`: the final one).

    Raises:
        ValueError: a step number is out of range.
    """
    stop = generator.num_steps if stop is None else stop
    if not 0 <= start <= stop <= generator.num_steps:
        raise ValueError(
            f"start and stop must satisfy 0 <= start <= stop <= {generator.num_steps}, "
            f"got {start} and {stop}"
        )
    for step in captures:
        if not start <= step <= stop:
            raise ValueError(f"captures must lie in [{start}, {stop}], got {captures}")
    wanted = tuple(step for step in captures if start < step < stop)

    def body(carry, i):
        population, kept = carry
        kept = tuple(
            _replace_if(i == step, population, old)
            for step, old in zip(wanted, kept, strict=True)
        )
        keys_now = step_keys(keys, i)
        return (generator.step(params, keys_now, population, i, cond), kept), None

    steps = jnp.arange(start, stop, dtype=jnp.int32)
    candidates = vary_alike(candidates, (params, keys, cond))
    carry = (candidates, (candidates,) * len(wanted))
    (final, kept), _ = jax.lax.scan(body, carry, steps)
    found = {start: candidates, stop: final, **dict(zip(wanted, kept, strict=True))}
    return final, tuple(found[step] for step in captures)
