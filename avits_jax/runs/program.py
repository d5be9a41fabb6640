"""One compiled search for any number of prompts, judges included.

A candidate is broken when its decoded clip holds NaN or infinity. `FINITE` finds out: a
verifier that watches, as the judges do. All of them look at finished candidates while
their clips are there, so that nothing is decoded for them; what a search evaluates on
its way they never see; and a judge that shares a pass with a guide costs nothing.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from avits_jax.runs import states
from avits_jax.runs.batches import default_batch
from avits_jax.runs.devices import ONE_DEVICE, Devices
from avits_jax.runs.learned import learned_sigmas
from avits_jax.runs.pictures import PutIn, putting_in
from avits_jax.runs.text import OnDevice, text_apart
from avits_jax.search.keys import SearchKey
from avits_jax.text.prompt import encode_prompt
from avits_jax.types import (
    PER_CANDIDATE,
    Aggregator,
    Cond,
    Generator,
    Media,
    Params,
    PyTree,
    RefineOutput,
    Rewards,
    Scores,
    SearchOutput,
    Verifier,
)


def _is_finite(params: PyTree, media: Media, cond: PyTree) -> Scores:
    parts = [jnp.isfinite(x).reshape(len(x), -1).all(axis=1) for x in media]
    return jnp.stack(parts).all(axis=0).astype(jnp.float32)


FINITE = Verifier("finite", _is_finite, range=(0.0, 1.0), guides=False)
"""Watches whether decoded clips are whole: 0 for one that holds NaN or infinity."""


class PromptError(ValueError):
    """A prompt that a model does not take; the run goes on with the next."""


class Refined(NamedTuple):
    """What a second stage made of a prompt's best candidates.

    Attributes:
        output: of `refine`; its rewards are the guides'.
        judged_before: rewards of the verifiers that only watch, of the small clips.
        judged: the same of the refined ones.
        broken: whose refined clip holds NaN or infinity.
    """

    output: RefineOutput
    judged_before: Float[Array, "K J"]
    judged: Float[Array, "K J"]
    broken: Bool[Array, " K"]


class Found(NamedTuple):
    """What the search found for one prompt.

    Attributes:
        output: of the search; its rewards and outliers are the guides'. With a second
            stage the best clip is a refined one, and counts are those of both stages.
        judged: rewards of the verifiers that only watch.
        broken: whose decoded clip holds NaN or infinity: the generator's fault.
        refined: what the second stage gave; None without one.
    """

    output: SearchOutput
    judged: Rewards
    broken: Bool[Array, " N"]
    refined: Refined | None = None


class Work(NamedTuple):
    """What a run does with a prompt; made once, so that its program is compiled once.

    Prompts whose arrays have other shapes, such as longer texts, have another program.

    Attributes:
        encode: ``text -> cond``; raises `PromptError`.
        prepare: compiles the program for such a ``cond``; returns the shapes of what
            it finds.
        search: ``(row, cond, state) -> Found`` of NumPy arrays. Noise is of the row.
        sigmas: ``state -> [V]`` learned deviations, None where there is none.
        state: what the first prompt starts from, see `states.on_host`.
        names: of the verifiers that guide.
        judges: of those that only watch.
        fps: pictures per second of a clip.
        sample_rate: Hz of its sound.
        text_on_device: a context for encoding several prompts, see `text_apart`.
        with_image: ``(cond, picture) -> cond`` whose clips begin with a picture, see
            `read_image`; a program of its own. None where the model takes none.
    """

    encode: Callable[[str], Any]
    prepare: Callable[[Any], Found]
    search: Callable[[int, Any, PyTree], Found]
    sigmas: Callable[[PyTree], Sequence[float | None]]
    state: PyTree
    names: tuple[str, ...]
    judges: tuple[str, ...]
    fps: float
    sample_rate: int
    text_on_device: OnDevice = contextlib.nullcontext
    with_image: PutIn | None = None


def without_rows_never_drawn(found: Found) -> Found:
    """Return what was found without the rows behind the last one that was drawn.

    A search that stops early has room for more candidates than it draws; rows keep
    their numbers.

    Args:
        found: on the host.
    """
    output = found.output
    drawn = np.flatnonzero(output.valid)
    end = int(drawn[-1]) + 1 if drawn.size else 0

    def cut(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda rows: rows[:end], tree)

    rows = {name: cut(getattr(output, name)) for name in PER_CANDIDATE}
    output = output._replace(**rows)
    return found._replace(
        output=output, judged=cut(found.judged), broken=cut(found.broken)
    )


def make_work(
    search: Callable[..., SearchOutput],
    params: Params,
    key: SearchKey,
    *,
    generator: Generator,
    verifiers: Sequence[Verifier],
    aggregator: Aggregator,
    judges: Sequence[Verifier] = (),
    candidate_batch: int | None = None,
    keep_media: bool = False,
    devices: Devices = ONE_DEVICE,
) -> Work:
    """Return a search that is compiled once and serves any number of prompts.

    It is compiled again for a prompt whose arrays have other shapes.

    Args:
        search: `best_of_n` or another search, its sizes bound.
        params: weights; the judges' are the last. A text tower among them runs once
            per prompt, see `text_apart`.
        key: typed key; row ``r`` of the prompts is searched with ``fold_in(key, r)``.
        generator: the generator; one of `with_progress` tells how far a prompt is.
        verifiers: those that guide, at least one.
        aggregator: turns their rewards into scores; learns from prompt to prompt.
        judges: verifiers that only watch: they neither guide nor cost, and cannot fail
            a candidate.
        candidate_batch: most candidates worked on at once; None for all on
            accelerators and 16 on a CPU, which is faster there.
        keep_media: return every candidate's clip.
        devices: what the search is laid over.

    Returns:
        What `search_prompts` and `search_many` do with every prompt.

    Example:
        >>> work = make_work(
        ...     functools.partial(avits.best_of_n, num_candidates=16),
        ...     avits.Params(params, verifier_params), jax.random.key(0),
        ...     generator=generator, verifiers=verifiers[:2], judges=verifiers[2:],
        ...     aggregator=avits.arw([0.5, 0.5]))
    """
    if candidate_batch is None:
        candidate_batch = default_batch()
    apart = text_apart(generator, params.generator, devices)
    generator = apart.generator
    everyone = (*verifiers, *judges)
    watchers = (*(each._replace(guides=False) for each in judges), FINITE)
    guided = devices.bind(
        search,
        generator=generator,
        verifiers=(*verifiers, *watchers),
        aggregator=aggregator,
        candidate_batch=candidate_batch,
        keep_media=keep_media,
    )
    program = devices.compiled(_program(guided, len(verifiers)))
    put_in = putting_in(generator, apart.params, devices)
    params = devices.place(params._replace(generator=apart.params))
    # As one program: each of its operations would be compiled by itself.
    init = jax.jit(aggregator.init, static_argnums=0)
    fresh = states.on_host(init(len(verifiers)))

    def encode(prompt: str) -> Cond:
        try:
            return encode_prompt(prompt, generator, everyone)
        except ValueError as error:
            raise PromptError(str(error)) from error

    def with_image(cond: Cond, picture: UInt8[np.ndarray, "h w 3"]) -> Cond:
        assert put_in is not None
        return cond._replace(generator=put_in(cond.generator, picture))

    def arguments(row: int, cond: Cond, state: PyTree) -> tuple[Any, ...]:
        return params, *devices.share((jax.random.fold_in(key, row), cond, state))

    def prepare(cond: Cond) -> Found:
        return program.program(*arguments(0, cond, fresh)).out_info

    def search_row(row: int, cond: Cond, state: PyTree) -> Found:
        with devices.guarded():
            found = devices.fetch(program(*arguments(row, cond, state)))
        found = without_rows_never_drawn(found)
        learned = states.on_host(found.output.aggregator_state)
        return found._replace(output=found.output._replace(aggregator_state=learned))

    return Work(
        encode=encode,
        prepare=prepare,
        search=search_row,
        sigmas=functools.partial(learned_sigmas, num_verifiers=len(verifiers)),
        state=fresh,
        names=tuple(each.name for each in verifiers),
        judges=tuple(each.name for each in judges),
        fps=generator.fps,
        sample_rate=generator.sample_rate,
        text_on_device=apart.text_on_device,
        with_image=None if put_in is None else with_image,
    )


def _program(
    guided: Callable[..., SearchOutput], num_guides: int
) -> Callable[[Params, jax.Array, Cond, PyTree], Found]:
    """Return the function to compile: a search, and what its watchers say."""

    def avits_search(
        params: Params, key: jax.Array, cond: Cond, state: PyTree
    ) -> Found:
        # Nothing is known beforehand of whether a clip is finite.
        params = params._replace(verifiers=(*params.verifiers, ()))
        cond = cond._replace(verifiers=(*cond.verifiers, ()))
        output = guided(params, key, cond, state)
        rewards, finite = output.rewards[:, :-1], output.rewards[:, -1]
        guides = output._replace(
            rewards=rewards[:, :num_guides], outliers=output.outliers[:num_guides]
        )
        # NaN marks a row that was never drawn, which is not broken.
        return Found(guides, rewards[:, num_guides:], finite == 0)

    return avits_search
