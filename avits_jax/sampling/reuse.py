"""Drafts that use again what they computed at an earlier step, carried along.

Which steps compute it is fixed ahead. What is kept travels in `Candidates.extra`, so
that all steps are one program and selection moves it with its candidate; `step` renews
it, `predict` reads it.
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


class Blocks(NamedTuple):
    """How a generator predicts with the blocks of its network, or without.

    A network embeds its input, sends it through its blocks (nearly all of its work),
    and reads the prediction from what comes out; what blocks add to their input changes
    slowly from step to step.

    Attributes:
        predict: ``(params, candidates, i, cond, added) -> (clean, added)``, the clean
            samples of `Generator.predict` and what the blocks added, a tree of
            ``[N G, ...]`` arrays, the G rows of a candidate (with guidance 2) side by
            side. Given ``added`` instead of None, that is added again, without a block.
        flops: operations of one network evaluation without its blocks, or None where
            they are not known.
    """

    predict: Callable[..., tuple[PyTree, PyTree]]
    flops: float | None = None


class Reused(NamedTuple):
    """What a candidate carries from step to step in a draft.

    Attributes:
        own: the generator's own `Candidates.extra`.
        kept: what is used again, a tree of ``[N, ...]`` arrays: see `reuse_guidance`
            and `reuse_blocks`.
    """

    own: PyTree
    kept: PyTree


def reuse_guidance(
    generator: Generator, guidance: Guidance, full_steps: Sequence[int]
) -> Generator:
    """Make a draft that is guided anew at some steps, and by the last of them between.

    At the steps between only the conditional branch is evaluated; what guidance added
    to the velocity at the last full step is added to it again (the "CFG-Cache" of Lv et
    al. 2024, "FasterCache", arXiv 2410.19355, without its weights of frequencies).
    Velocities, since guidance changes them slowly where the change of a clean sample
    falls with the noise. A candidate keeps guided minus conditional prediction over the
    noise level, like the latents, zero before the first full step.

    Args:
        generator: the generator.
        guidance: of its predictions.
        full_steps: steps that are guided anew, in [0, num_steps); with all of them the
            draft is the generator.

    Raises:
        ValueError: a step is out of range.
    """
    full = _is_full(generator.num_steps, full_steps)

    def blank(params: PyTree, candidates: Candidates, cond: PyTree) -> PyTree:
        return jax.tree.map(jnp.zeros_like, candidates.latents)

    def find(
        params: PyTree,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: PyTree,
        last: PyTree,
    ) -> tuple[PyTree, PyTree]:
        level = levels_at(generator.sigmas, i)

        def anew() -> tuple[PyTree, PyTree]:
            conditional, clean = guidance.both(params, candidates, i, cond)
            return clean, combined(lambda s: (1 / s, -1 / s), level, clean, conditional)

        def again() -> tuple[PyTree, PyTree]:
            conditional = guidance.conditional(params, candidates, i, cond)
            return combined(lambda s: (1.0, s), level, conditional, last), last

        return jax.lax.cond(jnp.asarray(full)[i], anew, again)

    return _carrying(generator, blank, find, _evaluations(generator, full, between=1))


def reuse_blocks(
    generator: Generator, blocks: Blocks, full_steps: Sequence[int]
) -> Generator:
    """Make a draft whose network runs its blocks at some steps, and not in between.

    In between the input is embedded anew, what all blocks together added to theirs at
    the last full step is added to it, and the prediction is read from the sum: for all
    blocks at once, the "Delta-Cache" of Chen et al. 2024, "Delta-DiT", arXiv
    2406.01125; what Liu et al. 2024, "TeaCache", arXiv 2411.19108, do at steps chosen
    by the input, here at steps fixed ahead. A candidate keeps ``[N, G, ...]``, in the
    network's dtype: of every token of its G rows as many numbers as the network is
    wide.

    Evaluations count that run the blocks, no others; what the others compute is added
    to ``flops_per_evaluation``, spread over those that count, so that operations of a
    whole run are exact.

    Args:
        generator: the generator.
        blocks: of its network.
        full_steps: steps that run the blocks, in [0, num_steps), 0 among them; with all
            of them the draft is the generator.

    Raises:
        ValueError: a step is out of range, or step 0 is missing.
    """
    full = _is_full(generator.num_steps, full_steps)
    if not full[0]:
        raise ValueError(f"full_steps must hold step 0, got {tuple(full_steps)}")

    def grouped(added: PyTree, num: int) -> PyTree:
        return jax.tree.map(lambda x: x.reshape(num, -1, *x.shape[1:]), added)

    def anew(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> tuple[PyTree, PyTree]:
        clean, added = blocks.predict(params, candidates, i, cond, None)
        return clean, grouped(added, len(jax.tree.leaves(clean)[0]))

    def blank(params: PyTree, candidates: Candidates, cond: PyTree) -> PyTree:
        _, added = jax.eval_shape(anew, params, candidates, 0, cond)
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), added)

    def find(
        params: PyTree,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: PyTree,
        last: PyTree,
    ) -> tuple[PyTree, PyTree]:
        def again() -> tuple[PyTree, PyTree]:
            rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), last)
            return blocks.predict(params, candidates, i, cond, rows)[0], last

        return jax.lax.cond(
            jnp.asarray(full)[i], lambda: anew(params, candidates, i, cond), again
        )

    nfe = _evaluations(generator, full, between=0)
    flops = generator.flops_per_evaluation
    if flops is not None and blocks.flops is not None:
        flops += blocks.flops * (generator.evaluations() - sum(nfe)) / sum(nfe)
    draft = _carrying(generator, blank, find, nfe)
    return draft._replace(flops_per_evaluation=flops)


def _is_full(num_steps: int, full_steps: Sequence[int]) -> np.ndarray:
    """Return ``[num_steps]`` True at full steps, which are checked."""
    if not all(step in range(num_steps) for step in full_steps):
        raise ValueError(
            f"full_steps must lie in [0, {num_steps - 1}], got {tuple(full_steps)}"
        )
    return np.isin(np.arange(num_steps), np.asarray(full_steps, int))


def _evaluations(
    generator: Generator, full: np.ndarray, *, between: int
) -> tuple[int, ...]:
    """Return evaluations per step, where steps that are not full take `between`."""
    return tuple(
        generator.evaluations(i, i + 1) if here else between
        for i, here in enumerate(full)
    )


def _carrying(
    generator: Generator,
    blank: Callable[..., PyTree],
    find: Callable[..., tuple[PyTree, PyTree]],
    nfe_per_step: tuple[int, ...],
) -> Generator:
    """Make a draft that carries something in `Reused.kept` from step to step.

    Args:
        generator: the generator.
        blank: ``(params, candidates, cond) -> kept`` before the first step.
        find: ``(params, candidates, i, cond, kept) -> (clean, kept)``: clean samples,
            and what to carry on. Candidates are the generator's own, here and above.
        nfe_per_step: of the draft.
    """

    def own(candidates: Candidates) -> Candidates:
        return candidates._replace(extra=candidates.extra.own)

    def init(params: PyTree, keys: Keys, cond: PyTree) -> Candidates:
        start = generator.init(params, keys, cond)
        return start._replace(extra=Reused(start.extra, blank(params, start, cond)))

    def found(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> tuple[PyTree, PyTree]:
        return find(params, own(candidates), i, cond, candidates.extra.kept)

    def predict(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> PyTree:
        return found(params, candidates, i, cond)[0]

    def step(
        params: PyTree,
        keys: Keys,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: PyTree,
    ) -> Candidates:
        clean, kept = found(params, candidates, i, cond)
        to_clean = euler(lambda *_: clean, generator.sigmas)
        moved = to_clean(params, keys, candidates, i, cond)
        return moved._replace(extra=Reused(candidates.extra.own, kept))

    def decode(params: PyTree, candidates: Candidates) -> Media:
        return generator.decode(params, own(candidates))

    return generator._replace(
        init=init,
        step=step,
        decode=decode,
        predict=predict,
        nfe_per_step=nfe_per_step,
        drafts=(),
    )
