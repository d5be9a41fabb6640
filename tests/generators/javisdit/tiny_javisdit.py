"""The reduced JavisDiT with random weights that cost no compilation."""

import functools
from dataclasses import replace
from typing import NamedTuple

import jax
from network_helpers import random_params

from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.encode import PromptEncoder
from avits_jax.generators.javisdit.generator import javisdit
from avits_jax.generators.javisdit.networks import networks
from avits_jax.generators.javisdit.sizes import ClipSizes, clip_sizes
from avits_jax.generators.javisdit.tiny import TINY, TINY_FPS
from avits_jax.text.tokenizers import dummy
from avits_jax.types import Generator
from tools.parity.modules import QUICK

NUM_STEPS = 2
# Short texts: T5's length is no matter here.
CONFIG = TINY._replace(transformer=replace(TINY.transformer, text_length=64))
jit = functools.partial(jax.jit, compiler_options=QUICK)


class Tiny(NamedTuple):
    """A generator, its weights and static graphs, and the sizes of its clip."""

    generator: Generator
    params: Networks
    graphs: Networks
    clip: ClipSizes


@functools.cache
def tiny(
    num_frames: int = 5,
    num_steps: int = NUM_STEPS,
    config: Networks = CONFIG,
    **options,
) -> Tiny:
    """The generator for clips of 16 x 24 pixels."""
    graphs, like = networks(config)
    clip = clip_sizes(
        16,
        24,
        num_frames,
        fps=TINY_FPS,
        transformer=config.transformer,
        video_vae=config.video_vae,
        audio_vae=config.audio_vae,
    )
    length = config.transformer.text_length
    encode = PromptEncoder(dummy("t5", config.t5.vocab_size), length)
    generator = javisdit(
        config,
        clip,
        num_steps=num_steps,
        guidance_scale=2.0,
        fps=TINY_FPS,
        encode=encode,
        **options,
    )
    return Tiny(generator, random_params(like), graphs, clip)
