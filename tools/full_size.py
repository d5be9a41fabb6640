"""Whole searches at full size, as shapes: to lower and compile without any weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import avits_jax as avits
from avits_jax.catalogue.verifiers import MINI
from avits_jax.generators.javisdit import sizes
from avits_jax.generators.javisdit.audio_vae import AudioVaeConfig
from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.load import ASPECT_RATIO, DURATION, RESOLUTION
from avits_jax.text.prompt import split_text
from avits_jax.types import Generator, PyTree, Verifier

JAVISDIT, CLIPS = "javisdit-v0.1", "clips"
LTX2 = ("ltx-2", "ltx-2-distilled", "ltx-2.3", "ltx-2.3-distilled", "ltx-2.3-tiny")
BRIGHTNESS = "brightness"
PROMPT = "a red circle bounces twice with a drum"


class Part(NamedTuple):
    """One generator or verifier.

    Attributes:
        made: the `Generator` or `Verifier`.
        params: shapes of its weights.
        cond: shapes of its view of a prompt.
    """

    made: Any
    params: PyTree
    cond: PyTree


def shapes(tree: Any) -> Any:
    """Return the shapes and dtypes of a tree of arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _encoded(made: Generator | Verifier) -> PyTree:
    """Shapes of an encoded prompt; dummy tokenizers need no files."""
    return () if made.encode is None else shapes(made.encode(PROMPT))


def published(name: str, *, text_states: bool = False, **options: Any) -> Part:
    """A generator with bfloat16 weights, and a prompt that is as long as can be.

    Args:
        name: one of `avits_jax.generators.available`.
        text_states: prompts come as states of the text encoder, which is left out.
        **options: ``dtype``, "bfloat16" by default, and the model's own. Of JavisDiT's
            ``text_bucket`` the prompt fills one; by default the longest that there is.
    """
    options = {"dtype": "bfloat16"} | options
    if "text_bucket" in avits.generators.options(name):
        options = {"text_bucket": TransformerConfig.text_length} | options
    generator, like = avits.generators.shapes(name, random_weights=True, **options)
    cond = _encoded(generator)
    if not text_states:
        return Part(generator, like, cond)
    if generator.text is None:
        raise ValueError(f"{name} has no text encoder of its own")
    tower, rest = split_text(generator, like)
    return Part(generator, rest, jax.eval_shape(generator.text, tower, cond))


def javisdit(*, tiny: bool = False, **options: Any) -> Part:
    """JavisDiT, or its reduced form, see `published`."""
    return published("javisdit-tiny" if tiny else JAVISDIT, **options)


def clips(
    resolution: str | None = None,
    aspect_ratio: str | None = None,
    duration: str | None = None,
) -> Part:
    """Clips of noise, as large as JavisDiT's: verifiers without a generator."""
    size = sizes.clip_sizes(
        *sizes.image_size(resolution or RESOLUTION, aspect_ratio or ASPECT_RATIO),
        sizes.frame_count(duration or DURATION),
    )
    frame = (size.decoded_height, size.decoded_width, 3)

    def draw(key: jax.Array) -> avits.Media:
        video = jax.random.uniform(key, (size.num_frames, *frame))
        return avits.Media(video, jax.random.uniform(key, (size.num_samples,)) - 0.5)

    generator = Generator(
        init=lambda params, keys, cond: avits.Candidates(jax.vmap(draw)(keys)),
        step=lambda params, keys, candidates, i, cond: candidates,
        decode=lambda params, candidates: candidates.latents,
        predict=lambda params, candidates, i, cond: candidates.latents,
        sigmas=(1.0, 0.0),
        fps=sizes.FPS,
        sample_rate=AudioVaeConfig().vocoder.sample_rate,
    )
    return Part(generator, (), ())


def mini(steps: int | None = None) -> Part:
    """Mini at the sizes of the weights that it comes with."""
    generator, like = avits.generators.shapes("mini", num_steps=steps)
    return Part(generator, like, _encoded(generator))


def judges(
    names: Sequence[str],
    generator: Generator,
    *,
    tiny: bool = False,
    candidate_batch: int | None = None,
) -> list[Part]:
    """Verifiers of a generator's clips, with bfloat16 weights; mini's in float32.

    Verifiers of one network share its pass.

    Args:
        names: known names, or "brightness": a reward that costs nothing.
        generator: whose clips are judged.
        tiny: reduced networks.
        candidate_batch: clips that a network works on at once; None for its default.
    """
    known = [name for name in names if name != BRIGHTNESS]
    found = {BRIGHTNESS: Part(Verifier(BRIGHTNESS, _brightness), (), ())}
    if known:
        asked = [f"{n}@tiny" if tiny and n not in MINI else n for n in known]
        made, likes = avits.verifiers.shapes(
            asked,
            fps=generator.fps,
            sample_rate=generator.sample_rate,
            candidate_batch=candidate_batch,
            dtype="bfloat16",
            random_weights=True,
        )
        for name, each, like in zip(known, made, likes, strict=True):
            found[name] = Part(each._replace(name=name), like, _encoded(each))
    return [found[name] for name in names]


def _brightness(params: PyTree, media: avits.Media, cond: PyTree):
    loudness = jnp.square(media.audio).reshape(len(media.audio), -1)
    return jnp.mean(media.video, (1, 2, 3, 4)) + jnp.mean(loudness, -1)
