"""Tell the host how far a search is, from inside its program."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int

from avits_jax.types import Candidates, Generator, Keys, Media, PyTree

STEP, PREDICT, DECODE = "step", "predict", "decode"


class Progress(NamedTuple):
    """Work that a program has just done on one chunk of candidates.

    Attributes:
        part: "step" (a denoising step), "predict" (a look at the clean sample on the
            way) or "decode" (or preview).
        step: number of the step, from 0; -1 for "decode".
        candidates: how many of the chunk.
        evaluations: of the network, spent on all of them; a guidance pair counts as 2.
            Over a whole search they add up to its ``nfe``.
    """

    part: str
    step: int
    candidates: int
    evaluations: int


OnProgress = Callable[[Progress], None]


def with_progress(generator: Generator, on_progress: OnProgress) -> Generator:
    """Return a generator, and drafts, that tell of every chunk's steps and decodings.

    The result works in every search, compiled or not, and computes the same. Calls come
    from a thread of JAX's, as soon as the result is there, not always in order, and for
    each prompt of a vmap; ``jax.effects_barrier()`` waits for the last. They keep a
    program out of the persistent compilation cache.

    Args:
        generator: the generator.
        on_progress: is called on the host; what it raises is warned of, and the search
            goes on.

    Example:
        >>> shown = runs.with_progress(generator, lambda done: print(done.step))
        >>> search = jax.jit(functools.partial(avits.best_of_n, generator=shown, ...))
    """
    costs = np.array(
        [generator.evaluations(i, i + 1) for i in range(generator.num_steps)]
    )

    def tell(part: str, i: int | Int[Array, ""], num: int, result: PyTree) -> None:
        def said(step: Any, _: Any) -> None:
            spent = num * int(costs[step]) if step >= 0 else 0
            try:
                on_progress(Progress(part, int(step), num, spent))
            except Exception as error:  # raised here, it would end the search
                warnings.warn(f"on_progress raised {error!r}", stacklevel=1)

        # It takes a number of the result, so as not to run before it.
        number = jax.tree.leaves(result)[0].ravel()[0]
        jax.debug.callback(said, i, number)

    def step(
        params: PyTree,
        keys: Keys,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: PyTree,
    ) -> Candidates:
        moved = generator.step(params, keys, candidates, i, cond)
        tell(STEP, i, len(keys), moved.latents)
        return moved

    def predict(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> PyTree:
        clean = generator.predict(params, candidates, i, cond)
        tell(PREDICT, i, _count(candidates), clean)
        return clean

    def telling(decode: Callable[..., Media]) -> Callable[..., Media]:
        def told(params: PyTree, candidates: Candidates) -> Media:
            media = decode(params, candidates)
            tell(DECODE, -1, _count(candidates), media)
            return media

        return told

    preview = generator.preview
    drafts = tuple(with_progress(draft, on_progress) for draft in generator.drafts)
    return generator._replace(
        step=step,
        predict=predict,
        decode=telling(generator.decode),
        preview=None if preview is None else telling(preview),
        drafts=drafts,
    )


def _count(candidates: Candidates) -> int:
    return jax.tree.leaves(candidates.latents)[0].shape[0]
