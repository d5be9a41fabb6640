"""Cheaper generators of the same clips, made of a generator: what drafts are.

All of them start from the noise of the generator's candidates, take its weights and its
prepared prompt, and decode as it does. They fill `Generator.drafts`, and search with
`draft_best_of_n`; their steps are Euler steps of predictions, without noise.
"""

import jax.numpy as jnp
from jaxtyping import Array, Int

from avits_jax.sampling.denoise import euler
from avits_jax.sampling.reuse import Blocks, Guidance, reuse_blocks, reuse_guidance
from avits_jax.types import Candidates, Generator, PyTree


def usual_drafts(
    generator: Generator,
    guidance: Guidance | None = None,
    blocks: Blocks | None = None,
) -> tuple[Generator, ...]:
    """Make the drafts that a generator offers, in the order of `Generator.drafts`.

    0. Every second step (half the evaluations).
    1. No guidance (half).
    2. Every second step, without guidance (a quarter).
    3. Guidance of every fourth step, used again in between (five eighths).
    4. What the network's blocks added, used again at two of three steps after the first
       quarter, the last step apart (about half).

    Args:
        generator: the generator.
        guidance: of its predictions; None, where they are not guided, leaves out 1 to
            3, and what follows moves up.
        blocks: of its network; None, where they cannot be left out, ends the list here.

    Example:
        >>> drafts = usual_drafts(generator, guidance, blocks)
        >>> generator = generator._replace(drafts=drafts)
    """
    drafts = [fewer_steps(generator)]
    if guidance is not None:
        bare = without_guidance(generator, guidance)
        every_fourth = range(0, generator.num_steps, 4)
        reused = reuse_guidance(generator, guidance, every_fourth)
        drafts += [bare, fewer_steps(bare), reused]
    if blocks is not None:
        drafts.append(
            reuse_blocks(generator, blocks, _block_steps(generator.num_steps))
        )
    return tuple(drafts)


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

    def taken(each: int | tuple[int, ...]) -> int | tuple[int, ...]:
        return each if isinstance(each, int) else tuple(each[i] for i in steps)

    def predict(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> PyTree:
        at = jnp.asarray(steps, jnp.int32)[i]
        return generator.predict(params, candidates, at, cond)

    return generator._replace(
        step=euler(predict, sigmas),
        predict=predict,
        sigmas=sigmas,
        nfe_per_step=taken(generator.nfe_per_step),
        decodes_per_step=taken(generator.decodes_per_step),
        verifier_calls_per_step=taken(generator.verifier_calls_per_step),
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


def _block_steps(num_steps: int) -> list[int]:
    """Return the steps that run the blocks: early ones decide what a clip shows."""
    last = num_steps - 1
    return sorted({*range(num_steps // 4), *range(0, num_steps, 3), last})
