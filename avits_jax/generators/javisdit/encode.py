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
from avits_jax.text.cuts import PromptCut, describe_cut

__all__ = ["PromptCut", "PromptEncoder"]

_END = " (the end token too)"


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
            describe_cut("T5", text, self.t5_ids, self.text_length, _END),
            describe_cut("ImageBind", text, _prior_ids, self.prior_length, _END),
        ]
        return [line for line in lines if line]


def _prior_ids(text: str) -> list[int]:
    """Return ImageBind's ids, neither cut nor padded: a token is at least one byte."""
    ids = imagebind.encode(text, 4 * len(text) + 2)
    return ids[: np.flatnonzero(ids == imagebind.END)[-1] + 1].tolist()
