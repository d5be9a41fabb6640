"""Prompts to token ids, and what is cut off of prompts that are too long (host only).

T5 reads up to 300 tokens, ImageBind up to 77. What is longer is cut as in the original,
which says nothing of it and cuts off ImageBind's end token as well; here the end token
always takes the last place, and a warning tells what is not read. T5's ids are padded
to a multiple of 64, the original's always to 300: padding is masked, so that results
are the same up to rounding and a short text costs less.

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
        text_length: most of T5's ids, padding included.
        prior_length: of ImageBind's.
        aesthetic: score of looks asked for with every prompt; None asks for none.
        bucket: T5's ids are padded to a multiple of so many, at most ``text_length``.
            Each length is a shape, and so a program, of its own. None always pads to
            ``text_length``, as prompts need that are stacked for a `jax.vmap`.
    """

    t5_ids: Callable[[str], list[int]]
    text_length: int = 300
    prior_length: int = 77
    aesthetic: float | None = 6.5
    bucket: int | None = 64

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
        length = self._padded(len(kept))
        return EncodedPrompt(
            jnp.array([*kept, *[0] * (length - len(kept))], jnp.int32),
            jnp.arange(length) < len(kept),
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

    def _padded(self, count: int) -> int:
        """Return how long so many of T5's ids are, padding included."""
        if self.bucket is None:
            return self.text_length
        return min(-(-count // self.bucket) * self.bucket, self.text_length)


def _prior_ids(text: str) -> list[int]:
    """Return ImageBind's ids, neither cut nor padded: a token is at least one byte."""
    ids = imagebind.encode(text, 4 * len(text) + 2)
    return ids[: np.flatnonzero(ids == imagebind.END)[-1] + 1].tolist()
