"""Weights, prompts and functions of a guided generator, which come in pairs.

Its params are the weights of the generator and of its guides, its cond likewise.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from jaxtyping import Array, Int

from avits_jax.types import (
    Candidates,
    Cond,
    Generator,
    Keys,
    Media,
    Params,
    PyTree,
    Rules,
    Verifier,
)

Preview = Callable[..., Media]
WithImage = Callable[..., PyTree]
PairT = TypeVar("PairT", Params, Cond)


def share_with_guides(pair: PairT, guides: Sequence[int] | None = None) -> PairT:
    """Give a guided generator the weights, or the prompt, of verifiers that score.

    The same trees then stand in two places. Called inside the jitted function, as in
    the example of `guide_by_gradient`, each array is passed, and held, once; called
    outside, arrays are held once still (`parallel.place` keeps them one), but the
    compiled program has two arguments for them. Guides that do not score are put in by
    hand: ``Params(Params(params, guide_params), vparams)``.

    Args:
        pair: `Params` or `Cond` of the generator and of all verifiers that score.
        guides: positions of the guides among these, in the order that
            `guide_by_gradient` was given them; None for all.

    Returns:
        ``pair`` whose `generator` is a pair again: of the generator, and of the guides.

    Raises:
        ValueError: there is no such position.
    """
    count = len(pair.verifiers)
    chosen = range(count) if guides is None else guides
    if not all(guide in range(count) for guide in chosen):
        raise ValueError(f"guides must lie in [0, {count - 1}], got {tuple(chosen)}")
    own = pair._replace(verifiers=tuple(pair.verifiers[guide] for guide in chosen))
    return pair._replace(generator=own)


def lifted_generator(generator: Generator, guides: Sequence[Verifier]) -> Generator:
    """Return an unguided generator that takes the params and cond of a guided one."""
    prepare = None if generator.prepare is None else _lift_prepare(generator.prepare)
    encoders = (generator.encode, *(guide.encode for guide in guides))

    def encode(prompt: str) -> Cond:
        own, *others = (() if each is None else each(prompt) for each in encoders)
        return Cond(own, tuple(others))

    def lift(each: Generator) -> Generator:
        same = each.prepare is generator.prepare
        return _lift_functions(each)._replace(
            # One function for all of them: a search then prepares a prompt once.
            prepare=prepare if same else _lift_prepare(each.prepare),
            encode=encode,
            text=None,
            text_part="",
            rules=_rules(each, guides),
            drafts=(),
        )

    return lift(generator)._replace(drafts=tuple(map(lift, generator.drafts)))


def _lift_prepare(prepare: Callable[..., PyTree] | None) -> Callable[..., Cond] | None:
    if prepare is None:
        return None

    def lifted(params: Params, cond: Cond) -> Cond:
        return cond._replace(generator=prepare(params.generator, cond.generator))

    return lifted


def _lift_functions(generator: Generator) -> Generator:
    def init(params: Params, keys: Keys, cond: Cond) -> Candidates:
        return generator.init(params.generator, keys, cond.generator)

    def step(
        params: Params,
        keys: Keys,
        candidates: Candidates,
        i: int | Int[Array, ""],
        cond: Cond,
    ) -> Candidates:
        return generator.step(params.generator, keys, candidates, i, cond.generator)

    def decode(params: Params, candidates: Candidates) -> Media:
        return generator.decode(params.generator, candidates)

    def predict(
        params: Params, candidates: Candidates, i: int | Int[Array, ""], cond: Cond
    ) -> PyTree:
        return generator.predict(params.generator, candidates, i, cond.generator)

    return generator._replace(
        init=init,
        step=step,
        decode=decode,
        predict=predict,
        preview=_lift_preview(generator.preview),
        with_image=_lift_with_image(generator.with_image),
    )


def _lift_preview(preview: Preview | None) -> Preview | None:
    if preview is None:
        return None
    return lambda params, candidates: preview(params.generator, candidates)


def _lift_with_image(with_image: WithImage | None) -> WithImage | None:
    if with_image is None:
        return None

    def lifted(params: Params, cond: Cond, image: Array) -> Cond:
        own = with_image(params.generator, cond.generator, image)
        return cond._replace(generator=own)

    return lifted


def _rules(generator: Generator, guides: Sequence[Verifier]) -> Rules:
    """Return the rules of all weights, under their places in `Params`."""
    named = [("generator", generator.rules)]
    named += [(f"verifiers/{n}", guide.rules) for n, guide in enumerate(guides)]
    return tuple(
        (f"{place}/{pattern}", dimension)
        for place, rules in named
        for pattern, dimension in rules or ()
    )
