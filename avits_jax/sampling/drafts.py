"""Cheaper generators of the same clips, made of a generator: what drafts are.

All of them start from the noise of the generator's candidates, take its weights and its
prepared prompt, and decode as it does. They fill `Generator.drafts`, and search with
`draft_best_of_n`; their steps are Euler steps of predictions, without noise.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from avits_jax.sampling.denoise import euler
from avits_jax.sampling.schedules import levels_at
from avits_jax.sampling.steps import combined
from avits_jax.types import Candidates, Generator, Keys, Media, PyTree


class Guidance(NamedTuple):
    """How a generator's predictions are guided.

    Attributes:
        both: ``(params, candidates, i, cond) -> (conditional, guided)``, the clean
            samples expected at step ``i`` with the prompt alone, and guided: what
            `Generator.predict` returns. As many network evaluations as that.
        conditional: ``(params, candidates, i, cond) -> conditional``, the first of
            them, by one network evaluation.
    """

    both: Callable[..., tuple[PyTree, PyTree]]
    conditional: Callable[..., PyTree]


class Reused(NamedTuple):
    """What a candidate carries while guidance is used again.

    Attributes:
        own: the generator's own `Candidates.extra`.
        difference: guided minus conditional prediction at the last full step, over its
            noise level (which makes it a difference of velocities); like the latents.
    """

    own: PyTree
    difference: PyTree


def usual_drafts(
    generator: Generator, guidance: Guidance | None = None
) -> tuple[Generator, ...]:
    """Make the drafts that a generator offers, in the order of `Generator.drafts`.

    0. Every second step (half the evaluations).
    1. No guidance (half).
    2. Every second step, without guidance (a quarter).
    3. Guidance of every fourth step, used again in between (five eighths).

    Args:
        generator: the generator.
        guidance: of its predictions; None, where they are not guided, leaves the first.

    Example:
        >>> generator = generator._replace(drafts=usual_drafts(generator, guidance))
    """
    if guidance is None:
        return (fewer_steps(generator),)
    bare = without_guidance(generator, guidance)
    every_fourth = range(0, generator.num_steps, 4)
    return (
        fewer_steps(generator),
        bare,
        fewer_steps(bare),
        reuse_guidance(generator, guidance, every_fourth),
    )


def fewer_steps(generator: Generator, stride: int = 2) -> Generator:
    """Make a draft that takes every `stride`-th step, from level to level.

    Args:
        generator: the generator; its `predict` is used, its `step` is not.
        stride: 1 takes all steps; the last one leads to 0 in any case.

    Raises:
        ValueError: `stride` is below 1.
    """
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    steps = tuple(range(0, generator.num_steps, stride))
    sigmas = (*(generator.sigmas[i] for i in steps), generator.sigmas[-1])
    nfe = generator.nfe_per_step

    def predict(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> PyTree:
        at = jnp.asarray(steps, jnp.int32)[i]
        return generator.predict(params, candidates, at, cond)

    return generator._replace(
        step=euler(predict, sigmas),
        predict=predict,
        sigmas=sigmas,
        nfe_per_step=nfe if isinstance(nfe, int) else tuple(nfe[i] for i in steps),
        drafts=(),
    )


def without_guidance(generator: Generator, guidance: Guidance) -> Generator:
    """Make a draft whose predictions are the conditional ones, an evaluation each."""
    predict = guidance.conditional
    return generator._replace(
        step=euler(predict, generator.sigmas),
        predict=predict,
        nfe_per_step=1,
        drafts=(),
    )


def reuse_guidance(
    generator: Generator, guidance: Guidance, full_steps: Sequence[int]
) -> Generator:
    """Make a draft that is guided anew at some steps, and by the last of them between.

    At the steps between only the conditional branch is evaluated; what guidance added
    to the velocity at the last full step is added to it again (the "CFG-Cache" of Lv et
    al. 2024, "FasterCache", arXiv 2410.19355, without its weights of frequencies).
    Velocities, since guidance changes them slowly where the change of a clean sample
    falls with the noise. The difference travels in `Candidates.extra`, zero before the
    first full step, so that all steps are one program; `step` renews it, `predict`
    reads it.

    Args:
        generator: the generator.
        guidance: of its predictions.
        full_steps: steps that are guided anew, in [0, num_steps); with all of them the
            draft is the generator.

    Raises:
        ValueError: a step is out of range.
    """
    num, sigmas = generator.num_steps, generator.sigmas
    if not all(0 <= step < num for step in full_steps):
        raise ValueError(
            f"full_steps must lie in [0, {num - 1}], got {tuple(full_steps)}"
        )
    full = np.isin(np.arange(num), np.asarray(full_steps, int))

    def own(candidates: Candidates) -> Candidates:
        return candidates._replace(extra=candidates.extra.own)

    def init(params: PyTree, keys: Keys, cond: PyTree) -> Candidates:
        latents, extra = generator.init(params, keys, cond)
        return Candidates(latents, Reused(extra, jax.tree.map(jnp.zeros_like, latents)))

    def guided(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> tuple[PyTree, PyTree]:
        """Return clean samples, and the difference to carry on."""
        level = levels_at(sigmas, i)

        def anew() -> tuple[PyTree, PyTree]:
            conditional, clean = guidance.both(params, own(candidates), i, cond)
            return clean, combined(lambda s: (1 / s, -1 / s), level, clean, conditional)

        def again() -> tuple[PyTree, PyTree]:
            conditional = guidance.conditional(params, own(candidates), i, cond)
            last = candidates.extra.difference
            return combined(lambda s: (1.0, s), level, conditional, last), last

        return jax.lax.cond(jnp.asarray(full)[i], anew, again)

    def predict(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> PyTree:
        return guided(params, candidates, i, cond)[0]

    def step(
        params: PyTree,
        keys: Keys,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: PyTree,
    ) -> Candidates:
        clean, difference = guided(params, candidates, i, cond)
        to_clean = euler(lambda *_: clean, sigmas)
        moved = to_clean(params, keys, candidates, i, cond)
        return moved._replace(extra=Reused(candidates.extra.own, difference))

    def decode(params: PyTree, candidates: Candidates) -> Media:
        return generator.decode(params, own(candidates))

    nfe = [generator.evaluations(i, i + 1) if full[i] else 1 for i in range(num)]
    return generator._replace(
        init=init,
        step=step,
        decode=decode,
        predict=predict,
        nfe_per_step=tuple(nfe),
        drafts=(),
    )
