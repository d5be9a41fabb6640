"""Whole searches at full size, as shapes: to lower and compile without any weights."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

import avits_jax as avits
from avits_jax.catalogue.verifiers import MINI, family_of
from avits_jax.generators.javisdit import sizes
from avits_jax.generators.javisdit import weights as javisdit_weights
from avits_jax.generators.javisdit.audio_vae import AudioVaeConfig
from avits_jax.generators.javisdit.load import ASPECT_RATIO, DURATION, RESOLUTION
from avits_jax.generators.javisdit.load import load as load_javisdit
from avits_jax.types import Generator, PyTree, Verifier
from avits_jax.weights import network as network_weights
from avits_jax.weights.network import Weights

JAVISDIT, CLIPS = "javisdit-v0.1", "clips"
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
    """Shapes of an encoded prompt; stand-ins take the place of tokenizers' files."""
    return () if made.encode is None else shapes(made.encode(PROMPT))


def without_arrays(load: Callable[[], tuple[Any, PyTree]]) -> tuple[Any, PyTree]:
    """Call ``load() -> (anything, weights)``; return shapes for the weights.

    The loader is only traced, and no random weight is drawn.
    """
    first: list[Any] = []

    def zeros(like: PyTree, *_: Any) -> PyTree:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    def traced() -> PyTree:
        made, weights = load()
        first.append(made)
        return weights

    with (
        mock.patch.object(network_weights, "random_weights", zeros),
        mock.patch.object(javisdit_weights, "random_weights", zeros),
    ):
        like = jax.eval_shape(traced)
    return first[0], like


def javisdit(*, tiny: bool = False, text_states: bool = False, **options: Any) -> Part:
    """JavisDiT with bfloat16 weights.

    Args:
        tiny: the reduced form.
        text_states: prompts come as T5 states, and T5 is left out.
        **options: of `avits_jax.generators.javisdit.load.load`.
    """
    weights = Weights(None, "bfloat16")
    generator, like = without_arrays(
        lambda: load_javisdit(weights, tiny=tiny, **options)
    )
    cond = _encoded(generator)
    if not text_states:
        return Part(generator, like, cond)
    width = like.transformer["null_text"].shape[1]
    states = jax.ShapeDtypeStruct((*cond.text.shape, width), jnp.bfloat16)
    return Part(generator, like._replace(t5=()), cond._replace(text=states))


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
    """Mini with the weights that it comes with."""
    generator, weights = avits.generators.load("mini", num_steps=steps)
    return Part(generator, shapes(weights), _encoded(generator))


def judges(
    names: Sequence[str],
    generator: Generator,
    *,
    tiny: bool = False,
    candidate_batch: int | None = None,
) -> list[Part]:
    """Verifiers of a generator's clips, with bfloat16 weights; mini's as they come.

    Verifiers of one network share its pass.

    Args:
        names: known names, or "brightness": a reward that costs nothing.
        generator: whose clips are judged.
        tiny: reduced networks.
        candidate_batch: clips that a network works on at once; None for its default.
    """
    found: dict[str, Part] = {}
    for name in names:
        if name == BRIGHTNESS:
            found[name] = Part(Verifier(name, _brightness), (), ())
        elif name in MINI:
            found[name] = _mini_judge(name)
        elif name not in found:
            found |= _family(name, names, generator, tiny, candidate_batch)
    return [found[name] for name in names]


def _brightness(params: PyTree, media: avits.Media, cond: PyTree):
    return jnp.mean(media.video, (1, 2, 3, 4)) + jnp.mean(media.audio**2, -1)


def _mini_judge(name: str) -> Part:
    (verifier,), (weights,) = avits.verifiers.load([name])
    return Part(verifier, shapes(weights), _encoded(verifier))


def _family(
    name: str,
    names: Sequence[str],
    generator: Generator,
    tiny: bool,
    candidate_batch: int | None,
) -> dict[str, Part]:
    """Return all verifiers asked for that the network of `name` gives."""
    family = family_of(name)
    module = importlib.import_module(f"avits_jax.verifiers.{family.module}.verifier")
    weights = Weights(None, "bfloat16")
    config, like = without_arrays(lambda: module.read(weights, tiny=tiny))
    group = [each for each in names if each in family.outputs]
    made = module.make(
        group,
        config,
        weights,
        fps=generator.fps,
        sample_rate=generator.sample_rate,
        mode="default",
        candidate_batch=candidate_batch,
    )
    return {
        each: Part(verifier, like, _encoded(verifier))
        for each, verifier in zip(group, made, strict=True)
    }
