"""Captions for the language models among the verifiers (host only)."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

MAX_CAPTION_TOKENS = 512


def shorten(
    caption: str,
    tokenize: Callable[[str], Sequence[int]],
    verifier: str,
    limit: int = MAX_CAPTION_TOKENS,
) -> str:
    """Cut the end off a caption that takes more tokens than `limit`.

    Args:
        caption: what the user asked for.
        tokenize: text to ids.
        verifier: name, for the warning.
        limit: most tokens, with those that the tokenizer puts around the text.

    Returns:
        The caption, or as much of its start as stays below the limit; a `UserWarning`
        says how much that is.
    """
    count = len(tokenize(caption))
    kept = caption
    while (now := len(tokenize(kept))) > limit:
        kept = kept[: len(kept) * limit // now]
    if kept != caption:
        warnings.warn(
            f"{verifier} reads at most {limit} tokens of a prompt: of {count} tokens "
            f"({len(caption)} characters) it reads the first {len(kept)} characters",
            stacklevel=3,
        )
    return kept


def tell_of_cut(verifier: str, count: int, limit: int) -> None:
    """Warn, with a `UserWarning`, if a prompt has more tokens than are read.

    Args:
        verifier: its name.
        count: tokens of the prompt, with those that the tokenizer puts around the text.
        limit: most of them that are read.
    """
    if count > limit:
        warnings.warn(
            f"{verifier} reads at most {limit} tokens of a prompt, which has {count}: "
            "its end is cut off",
            stacklevel=3,
        )


def pad_end(
    ids: Sequence[int], multiple: int, padding: int
) -> Int[np.ndarray, " length"]:
    """Pad int32 ids at their end to a multiple of a length.

    A program is compiled for one length of prompt, so that prompts of about the same
    length share it.
    """
    missing = -len(ids) % multiple
    return np.array([*ids, *[padding] * missing], np.int32)
