"""What users' functions return, checked while they are traced.

Everything here looks at classes, shapes and dtypes only: it costs nothing when a
compiled search runs, and never depends on a traced value.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.types import Candidates, Generator, Media, PyTree, Refiner

ONE_PROMPT = "cond is that of one prompt: vmap over prompts for several"

_VIDEO = "[N, F, H, W, 3] float in [0, 1]"
_AUDIO = "[N, S] or [N, C, S] float in [-1, 1]"


def with_checks(generator: Generator) -> Generator:
    """Return `generator`, its functions naming themselves where they break a contract.

    They raise TypeError for a wrong class, and ValueError for wrong shapes or dtypes.
    """

    def init(params: Any, keys: Any, cond: Any) -> Any:
        with one_prompt("init"):
            found = generator.init(params, keys, cond)
        _check_candidates("init", found)
        _check_leading("init", found, keys.shape[0])
        return found

    def step(params: Any, keys: Any, candidates: Any, i: Any, cond: Any) -> Any:
        with one_prompt("step"):
            found = generator.step(params, keys, candidates, i, cond)
        _check_candidates("step", found)
        _check_alike("step must return candidates like those given", found, candidates)
        return found

    def predict(params: Any, candidates: Any, i: Any, cond: Any) -> Any:
        with one_prompt("predict"):
            found = generator.predict(params, candidates, i, cond)
        wanted = candidates.latents
        _check_alike("predict must return a tree like the latents", found, wanted)
        return found

    def decoder(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def decode(params: Any, candidates: Any) -> Any:
            found = function(params, candidates)
            _check_media(name, found, jax.tree.leaves(candidates)[0].shape[0])
            return found

        return decode

    preview = generator.preview
    return generator._replace(
        init=init,
        step=step,
        predict=predict,
        decode=decoder("decode", generator.decode),
        preview=None if preview is None else decoder("preview", preview),
    )


def checked_start(refiner: Refiner) -> Callable[..., Candidates]:
    """Return how a refiner starts; it names itself where it breaks its contract.

    It raises TypeError for a wrong class, and ValueError for wrong shapes.
    """

    def start(params: Any, keys: Any, candidates: Any, cond: Any) -> Any:
        with one_prompt("start"):
            found = refiner.start(params, keys, candidates, cond)
        _check_candidates("start", found)
        _check_leading("start", found, keys.shape[0])
        return found

    return start


@contextlib.contextmanager
def one_prompt(function: str) -> Iterator[None]:
    """Add to an error inside a user's function what may have led to it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(f"in {function}, traced for a search: {ONE_PROMPT}")
        raise


def like(tree: PyTree, wanted: PyTree) -> bool:
    """Tell whether two trees have the same structure, shapes and dtypes."""
    return structure(tree) == structure(wanted) and all(
        map(_same, jax.tree.leaves(tree), jax.tree.leaves(wanted))
    )


def structure(tree: PyTree) -> Any:
    """Return a tree without its leaves, to compare and to show."""
    return jax.tree.structure(tree)


def describe(leaf: Any) -> str:
    """Return dtype and shape of an array, ``float32[4, 3]``."""
    return f"{getattr(leaf, 'dtype', type(leaf).__name__)}{list(jnp.shape(leaf))}"


def _same(a: Any, b: Any) -> bool:
    return describe(a) == describe(b)


def _check_candidates(function: str, found: Any) -> None:
    if not isinstance(found, Candidates):
        raise TypeError(f"{function} must return Candidates, got {type(found)}")


def _check_leading(function: str, found: Candidates, num: int) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        if jnp.shape(leaf)[:1] != (num,):
            raise ValueError(
                f"{function} must return arrays whose leading axis is that of the "
                f"{num} keys, got {describe(leaf)} for {_name(path)} ({ONE_PROMPT})"
            )


def _check_alike(rule: str, found: PyTree, wanted: PyTree) -> None:
    if structure(found) != structure(wanted):
        raise ValueError(
            f"{rule}: the structure was {structure(wanted)}, got {structure(found)}"
        )
    leaves = jax.tree_util.tree_leaves_with_path(found)
    for (path, leaf), before in zip(leaves, jax.tree.leaves(wanted), strict=True):
        if not _same(leaf, before):
            raise ValueError(
                f"{rule}: {_name(path)} was {describe(before)}, got {describe(leaf)} "
                f"({ONE_PROMPT})"
            )


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path).lstrip(".") or "the only array"


def _check_media(function: str, found: Any, num: int) -> None:
    if not isinstance(found, Media):
        raise TypeError(f"{function} must return Media, got {type(found)}")
    try:
        _check_clips("video", found.video, _VIDEO, (5,), num)
        if found.video.shape[-1] != 3:
            raise _bad_clips("video", found.video, _VIDEO)
        _check_clips("audio", found.audio, _AUDIO, (2, 3), num)
    except ValueError as error:
        raise ValueError(f"{function} must return {error}") from None


def _check_clips(
    name: str, clips: Any, wanted: str, ranks: tuple[int, ...], num: int
) -> None:
    floating = jnp.issubdtype(getattr(clips, "dtype", object), jnp.floating)
    if not floating or clips.ndim not in ranks:
        raise _bad_clips(name, clips, wanted)
    if clips.shape[0] != num:
        raise ValueError(
            f"the {name} of each of the {num} candidates given, {wanted}, got "
            f"{describe(clips)}"
        )


def _bad_clips(name: str, clips: Any, wanted: str) -> ValueError:
    return ValueError(f"Media whose {name} is {wanted}, got {describe(clips)}")
