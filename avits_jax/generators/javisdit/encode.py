"""Prompts to token ids, and what is cut off of prompts that are too long (host only).

Both encoders have a fixed length: 300 T5 tokens, 77 of ImageBind. What is longer is cut
as in the original, which says nothing of it and cuts off ImageBind's end token as well;
here the end token always takes the last place, and a warning tells what is not read.

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/models/text_encoder/t5.py (T5Encoder)
and javisdit/models/prior_encoder/stib.py (STIBPriorExtractor.encode_text).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from avits_jax.generators.javisdit.condition import EncodedPrompt
from avits_jax.text import clip_bpe as imagebind
from avits_jax.text.captions import prepare_prompt

# Words shown of the beginning and of the end of what is cut off.
_SHOWN = (6, 3)


class PromptCut(UserWarning):
    """A prompt is too long for a text encoder."""


@dataclass(frozen=True)
class PromptEncoder:
    """Turns a prompt into an `EncodedPrompt`; what ``Generator.encode`` is.

    Attributes:
        t5_ids: T5's token ids of a text, end token included, neither cut nor padded.
        text_length: of T5's ids, padding included.
        prior_length: of ImageBind's.
        aesthetic: score of looks asked for with every prompt; None asks for none.
    """

    t5_ids: Callable[[str], list[int]]
    text_length: int = 300
    prior_length: int = 77
    aesthetic: float | None = 6.5

    def __call__(self, prompt: str) -> EncodedPrompt:
        """Tokenize a prompt, with the suffix and cleaned as in training.

        A prompt that is too long is cut; a `PromptCut` warning says what is.
        """
        for line in self.cuts(prompt):
            warnings.warn(line, PromptCut, stacklevel=2)
        text = prepare_prompt(prompt, self.aesthetic)
        ids = self.t5_ids(text)
        long = len(ids) > self.text_length
        kept = [*ids[: self.text_length - 1], ids[-1]] if long else ids
        room = self.text_length - len(kept)
        return EncodedPrompt(
            jnp.array([*kept, *[0] * room], jnp.int32),
            jnp.arange(self.text_length) < len(kept),
            jnp.asarray(imagebind.encode(text, self.prior_length)),
        )

    def cuts(self, prompt: str) -> list[str]:
        """Return a line for each encoder that cannot read all of a prompt."""
        text = prepare_prompt(prompt, self.aesthetic)
        lines = [
            _describe("T5", text, self.t5_ids, self.text_length),
            _describe("ImageBind", text, _prior_ids, self.prior_length),
        ]
        return [line for line in lines if line]


def _prior_ids(text: str) -> list[int]:
    """Return ImageBind's ids, neither cut nor padded: a token is at least one byte."""
    ids = imagebind.encode(text, 4 * len(text) + 2)
    return ids[: np.flatnonzero(ids == imagebind.END)[-1] + 1].tolist()


def _describe(
    name: str, text: str, tokenize: Callable[[str], list[int]], limit: int
) -> str:
    """Say what is cut off of a text; "" if all of it is read."""
    count = len(tokenize(text))
    if count <= limit:
        return ""
    words = text.split()
    low, high = 0, len(words)
    while high - low > 1:
        middle = (low + high) // 2
        if len(tokenize(" ".join(words[:middle]))) <= limit:
            low = middle
        else:
            high = middle
    lost = words[low:]
    if len(lost) > _SHOWN[0] + _SHOWN[1]:
        lost = [*lost[: _SHOWN[0]], "...", *lost[-_SHOWN[1] :]]
    shown = " ".join(lost)
    return (
        f"the prompt has {count} {name} tokens, of which {limit} are read (the end "
        f"token too); cut off: {shown!r} ({len(words) - low} words)"
    )
