"""Prompts to token ids, and what is cut off of prompts that are too long (host only).

A prompt goes to Gemma as it is, without a chat template, its ends stripped. It fills
the END of a row of 1024 tokens; of a longer one the beginning is read, and a warning
tells what is not.

Upstream: huggingface/diffusers, src/diffusers/pipelines/ltx2/pipeline_ltx2.py
(LTX2Pipeline._get_gemma_prompt_embeds), which cuts without a word.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from avits_jax.text.cuts import PromptCut, describe_cut

__all__ = ["NEGATIVE_PROMPT", "EncodedPrompt", "PromptCut", "PromptEncoder"]

NEGATIVE_PROMPT = (
    "blurry, out of focus, overexposed, underexposed, low contrast, washed out colors, "
    "excessive noise, grainy texture, poor lighting, flickering, motion blur, "
    "distorted proportions, unnatural skin tones, deformed facial features, "
    "asymmetrical face, missing facial features, extra limbs, disfigured hands, "
    "wrong hand count, artifacts around text, inconsistent perspective, camera shake, "
    "incorrect depth of field, background too sharp, background clutter, distracting "
    "reflections, harsh shadows, inconsistent lighting direction, color banding, "
    "cartoonish rendering, 3D CGI look, unrealistic materials, uncanny valley effect, "
    "incorrect ethnicity, wrong gender, exaggerated expressions, wrong gaze direction, "
    "mismatched lip sync, silent or muted audio, distorted voice, robotic voice, echo, "
    "background noise, off-sync audio, incorrect dialogue, added dialogue, repetitive "
    "speech, jittery movement, awkward pauses, incorrect timing, unnatural "
    "transitions, inconsistent framing, tilted camera, flat lighting, inconsistent "
    "tone, cinematic oversaturation, stylized filters, or AI artifacts."
)
"""What a clip shall not look and sound like unless other words are given.

A published constant: the default negative prompt of Lightricks' ltx-pipelines
(utils/constants.py), as quoted at DEFAULT_NEGATIVE_PROMPT of huggingface/diffusers,
src/diffusers/pipelines/ltx2/utils.py. diffusers' own pipelines use "" unless told;
ltx-pipelines 1.2.0 puts more words before these.
"""


class EncodedPrompt(NamedTuple):
    """A prompt and a negative prompt as `TextEncoder` gets them.

    Attributes:
        ids: Gemma's token ids, the prompt first, padded at the start of each row.
        lengths: tokens of each row.
    """

    ids: Int[Array, "2 L"]
    lengths: Int[Array, " 2"]


@dataclass(frozen=True)
class PromptEncoder:
    """Turns a prompt into an `EncodedPrompt`; what ``Generator.encode`` is.

    Attributes:
        gemma_ids: Gemma's ids of a text, its start token included, neither cut nor
            padded.
        negative: what the clip shall not be like; "" for nothing.
        length: of a row of ids.
        pad_token: id of padding.
    """

    gemma_ids: Callable[[str], list[int]]
    negative: str = NEGATIVE_PROMPT
    length: int = 1024
    pad_token: int = 0

    def __call__(self, prompt: str) -> EncodedPrompt:
        """Tokenize a prompt and the negative prompt.

        What is too long is cut; a `PromptCut` warning says what is.
        """
        for line in self.cuts(prompt):
            warnings.warn(line, PromptCut, stacklevel=2)
        texts = prompt.strip(), self.negative.strip()
        rows = [self.gemma_ids(text)[: self.length] for text in texts]
        pads = ([self.pad_token] * (self.length - len(row)) for row in rows)
        ids = [[*pad, *row] for pad, row in zip(pads, rows, strict=True)]
        lengths = [len(row) for row in rows]
        return EncodedPrompt(jnp.array(ids, jnp.int32), jnp.array(lengths, jnp.int32))

    def cuts(self, prompt: str) -> list[str]:
        """Return a line for each of the two texts that is not read to its end."""
        texts = {"the prompt": prompt, "the negative prompt": self.negative}
        lines = [
            describe_cut("Gemma", text.strip(), self.gemma_ids, self.length, what=what)
            for what, text in texts.items()
        ]
        return [line for line in lines if line]
