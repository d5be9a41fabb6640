"""The second stage of a run: the best candidates of each prompt made large."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from avits_jax.runs.devices import ONE_DEVICE, Devices
from avits_jax.runs.pictures import putting_in
from avits_jax.runs.program import FINITE, Found, PromptError, Refined, Work
from avits_jax.search.keys import SearchKey
from avits_jax.search.refine import refine
from avits_jax.text.prompt import encode_prompt
from avits_jax.types import (
    Aggregator,
    Candidates,
    Cond,
    Media,
    Params,
    PyTree,
    RefineOutput,
    Refiner,
    SearchOutput,
    Verifier,
)


class Refinement(NamedTuple):
    """What makes candidates large.

    Attributes:
        refiner: the second stage.
        params: its weights, without a text tower that ``encode`` runs.
        num_kept: how many candidates of a prompt are refined.
    """

    refiner: Refiner
    params: PyTree
    num_kept: int = 1


class _Prompt(NamedTuple):
    search: Cond
    refine: Cond


class _Small(NamedTuple):
    """What of a search is needed to go on, watchers' rewards among the guides'."""

    rewards: np.ndarray
    scores: np.ndarray
    latents: Candidates
    state: PyTree


def refined_work(
    work: Work,
    refinement: Refinement,
    verifier_params: Sequence[PyTree],
    key: SearchKey,
    *,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    judges: Sequence[Verifier] = (),
    devices: Devices = ONE_DEVICE,
) -> Work:
    """Return work that refines the best candidates of each prompt after its search.

    Two compiled programs: the search's own, and that of the second stage, which refines
    one candidate at a time and whose weights lie beside the search's. Judges look at
    refined clips, too.

    Args:
        work: of `make_work`, whose search has ``keep_latents=True`` bound.
        refinement: the second stage; its clips must have the rates of the search's.
        verifier_params: weights of the guides, then of the judges.
        key: that of `work`.
        verifiers: those that guide.
        aggregator: that of `work`.
        judges: verifiers that only watch.
        devices: what the second stage is laid over.

    Returns:
        Work whose `Found` tells of both stages.

    Raises:
        ValueError: the clips of the second stage have other rates.

    Example:
        >>> search = functools.partial(best_of_n, num_candidates=16, keep_latents=True)
        >>> work = make_work(search, avits.Params(params, vparams), key, **parts)
        >>> second = Refinement(*generators.load_refiner("ltx-2.3"), num_kept=2)
        >>> work = refined_work(work, second, vparams, key, verifiers=verifiers,
        ...     aggregator=aggregator)
    """
    refiner = refinement.refiner
    _check_rates(work, refiner)
    num_guides = len(verifiers)
    watchers = (*(each._replace(guides=False) for each in judges), FINITE)

    def bound(
        params: Params, key: Any, cond: Cond, small: Any, **laid: Any
    ) -> RefineOutput:
        second = refiner._replace(generator=laid.pop("generator"))
        return refine(params, key, cond, small, refiner=second, **laid)

    second: Callable[..., Any] = devices.bind(
        bound,
        generator=refiner.generator,
        verifiers=(*verifiers, *watchers),
        aggregator=aggregator,
        num_kept=refinement.num_kept,
        candidate_batch=1,
    )
    program = devices.compiled(_program(second, num_guides))
    params = devices.place(Params(refinement.params, tuple(verifier_params)))
    rows: list[int] = []
    put_small = work.with_image
    put_large = putting_in(refiner.generator, refinement.params, devices)

    def encode(prompt: str) -> _Prompt:
        cond = work.encode(prompt)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # said of the first
                own = encode_prompt(prompt, refiner.generator, ())
        except ValueError as error:
            raise PromptError(str(error)) from error
        return _Prompt(cond, cond._replace(generator=own.generator))

    def with_image(cond: _Prompt, picture: UInt8[np.ndarray, "h w 3"]) -> _Prompt:
        assert put_small is not None and put_large is not None
        large = put_large(cond.refine.generator, picture)
        refine = cond.refine._replace(generator=large)
        return _Prompt(put_small(cond.search, picture), refine)

    def arguments(row: int, cond: _Prompt, small: _Small) -> tuple[Any, ...]:
        mine = jax.random.fold_in(key, row)
        return params, *devices.share((mine, cond.refine, small))

    def prepare(cond: _Prompt) -> Found:
        found = work.prepare(cond.search)
        program.program(*arguments(0, cond, _small(_zeros(found))))
        rows[:] = [found.output.scores.shape[0]]
        return found

    def search(row: int, cond: _Prompt, state: PyTree) -> Found:
        if not rows:
            prepare(cond)
        found = work.search(row, cond.search, state)
        small = _padded(_small(found), rows[0])
        with devices.guarded():
            refined = devices.fetch(program(*arguments(row, cond, small)))
        return _of_both(found, refined)

    return work._replace(
        encode=encode,
        prepare=prepare,
        search=search,
        with_image=None if None in (put_small, put_large) else with_image,
    )


def _check_rates(work: Work, refiner: Refiner) -> None:
    found = refiner.generator.fps, refiner.generator.sample_rate
    if found != (work.fps, work.sample_rate):
        raise ValueError(
            f"the second stage makes clips of {found[0]:g} fps and {found[1]} Hz, the "
            f"search clips of {work.fps:g} fps and {work.sample_rate} Hz"
        )


def _small(found: Found) -> _Small:
    """Return what the second stage takes of a search."""
    output = found.output
    if output.latents is None:
        raise ValueError("work has no latents: bind keep_latents=True to its search")
    # Whether a small clip is whole says no more than its rewards do.
    whole = np.ones((len(output.scores), 1), np.float32)
    rewards = np.concatenate([output.rewards, found.judged, whole], axis=1)
    state = output.aggregator_state
    return _Small(rewards, np.asarray(output.scores), output.latents, state)


def _zeros(shapes: Found) -> Found:
    """Return such a result of zeros, without clips."""
    shapes = shapes._replace(output=shapes.output._replace(media=None))
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def _padded(small: _Small, rows: int) -> _Small:
    """Return as many rows as the program takes: a search may have stopped early."""
    missing = rows - len(small.scores)
    if not missing:
        return small

    def more(leaf: np.ndarray, fill: float) -> np.ndarray:
        ends = [(0, missing)] + [(0, 0)] * (leaf.ndim - 1)
        return np.pad(leaf, ends, constant_values=fill)

    return small._replace(
        rewards=more(small.rewards, np.nan),
        scores=more(small.scores, -np.inf),
        latents=jax.tree.map(lambda leaf: more(leaf, 0), small.latents),
    )


def _program(
    second: Callable[..., RefineOutput], num_guides: int
) -> Callable[[Params, Array, Cond, _Small], Refined]:
    """Return the function to compile: a refinement, and what its watchers say."""

    def avits_refine(params: Params, key: Array, cond: Cond, small: _Small) -> Refined:
        params = params._replace(verifiers=(*params.verifiers, ()))
        cond = cond._replace(verifiers=(*cond.verifiers, ()))
        output = second(params, key, cond, _as_output(small))

        before, after = output.rewards_before, output.rewards
        return Refined(
            output._replace(
                rewards_before=before[:, :num_guides], rewards=after[:, :num_guides]
            ),
            judged_before=before[:, num_guides:-1],
            judged=after[:, num_guides:-1],
            broken=after[:, -1] == 0,
        )

    return avits_refine


def _as_output(small: _Small) -> SearchOutput:
    """Return the part of a search's output that `refine` reads."""
    nothing = jnp.zeros((), jnp.int32)
    scores = jnp.asarray(small.scores)
    failed = scores == -jnp.inf
    clip = Media(jnp.zeros((1, 1, 1, 3)), jnp.zeros((1,)))
    return SearchOutput(
        best=clip,
        best_index=nothing,
        scores=scores,
        rewards=jnp.asarray(small.rewards),
        failed=failed,
        valid=~failed,
        outliers=jnp.zeros(small.rewards.shape[1], jnp.int32),
        aggregator_state=small.state,
        nfe=nothing,
        decodes=nothing,
        verifier_calls=nothing,
        latents=small.latents,
    )


def _of_both(found: Found, refined: Refined) -> Found:
    """Return what both stages found: the refined clip, and what all of it cost."""
    first, second = found.output, refined.output
    output = first._replace(
        best=second.best,
        best_index=second.best_index,
        latents=None,
        **{
            name: getattr(first, name) + getattr(second, name)
            for name in ("nfe", "decodes", "verifier_calls")
        },
        flops=None
        if first.flops is None or second.flops is None
        else first.flops + second.flops,
    )
    return found._replace(output=output, refined=refined)
