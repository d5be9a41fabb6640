"""JavisDiT taken apart for timing: the stages of a run, and one block of each kind."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from avits_jax.generators.javisdit import sizes
from avits_jax.generators.javisdit.condition import EncodedPrompt
from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.generator import by_row, javisdit
from avits_jax.generators.javisdit.modeling import Level, couple_rows
from avits_jax.generators.javisdit.networks import networks
from avits_jax.generators.javisdit.parts import MODEL, PUBLISHED
from avits_jax.generators.javisdit.tiny import TINY, TINY_FPS, TINY_SIZE, TINY_STEPS
from avits_jax.sampling import denoise
from avits_jax.types import Candidates, Generator
from avits_jax.weights.model import read_parts
from avits_jax.weights.network import Weights

Program = tuple[str, Callable[..., Any], tuple[Any, ...]]
_SELF_BLOCKS = ("video_spatial", "video_temporal", "audio_spatial", "audio_temporal")


class Setup(NamedTuple):
    """JavisDiT for one size of clip, and a prompt.

    Attributes:
        generator: the generator.
        graphs: static graphs of its networks.
        params: their weights, or the shapes of these.
        prompt: token ids.
        clip: sizes of the clip.
        config: sizes of the networks.
    """

    generator: Generator
    graphs: Networks
    params: Networks
    prompt: EncodedPrompt
    clip: sizes.ClipSizes
    config: Networks


def make_setup(duration: str, chosen: argparse.Namespace) -> Setup:
    """`plan_setup` with weights drawn in bfloat16."""
    setup = plan_setup(duration, chosen)
    weights = read_parts(MODEL, Weights(None, "bfloat16"), setup.config._asdict())
    return setup._replace(params=weights)


def plan_setup(duration: str, chosen: argparse.Namespace) -> Setup:
    """JavisDiT with shapes in the place of weights; no tokenizer is needed.

    Args:
        duration: "4s" and others, or a number of frames.
        chosen: ``tiny``, ``steps`` and ``decode_frames``.
    """
    config = TINY if chosen.tiny else PUBLISHED
    if chosen.decode_frames:
        vae = replace(config.video_vae, frames_at_once=chosen.decode_frames)
        config = config._replace(video_vae=vae)
    fps = TINY_FPS if chosen.tiny else sizes.FPS
    clip = sizes.clip_sizes(
        *(TINY_SIZE if chosen.tiny else sizes.image_size("240p", "9:16")),
        sizes.frame_count(duration),
        fps=fps,
        transformer=config.transformer,
        video_vae=config.video_vae,
        audio_vae=config.audio_vae,
    )
    steps = chosen.steps or (TINY_STEPS if chosen.tiny else 30)
    generator = javisdit(config, clip, num_steps=steps, fps=fps)
    graphs, like = networks(config)
    return Setup(generator, graphs, like, _prompt(config), clip, config)


def _prompt(config: Networks) -> EncodedPrompt:
    length = config.transformer.text_length
    ids = jnp.arange(length, dtype=jnp.int32) % config.t5.vocab_size
    prior = jnp.arange(config.prior.imagebind.context_length, dtype=jnp.int32)
    return EncodedPrompt(ids, jnp.ones(length, bool), prior)


def _candidates(setup: Setup, count: int) -> tuple[Any, Any, Candidates]:
    """A prepared prompt, keys, and candidates at the first noise level."""
    keys = jax.random.split(jax.random.key(0), count)
    assert setup.generator.prepare is not None
    cond = jax.jit(setup.generator.prepare)(setup.params, setup.prompt)
    return cond, keys, jax.jit(setup.generator.init)(setup.params, keys, cond)


def stage_programs(setup: Setup, count: int) -> Iterator[Program]:
    """Name, function and arguments of each stage of a run of `count` candidates."""
    generator, params = setup.generator, setup.params
    cond, keys, start = _candidates(setup, count)
    assert generator.prepare is not None

    def denoise_all(params, keys, candidates, cond):
        return denoise(params, keys, candidates, cond, generator=generator)[0].latents

    def video(params, latents):
        model = nnx.merge(setup.graphs.video_vae, params)
        return model.decode(latents, setup.clip.num_frames)

    def video_one_by_one(params, latents):
        return jax.lax.map(lambda one: video(params, one[None])[0], latents)

    def audio(params, latents):
        model = nnx.merge(setup.graphs.audio_vae, params)
        return model.decode(latents, setup.clip.num_samples)

    latents = start.latents
    yield "text_and_prior", generator.prepare, (params, setup.prompt)
    yield "start", generator.init, (params, keys, cond)
    yield "denoise", denoise_all, (params, keys, start, cond)
    yield "decode_video", video_one_by_one, (params.video_vae, latents.video)
    yield "decode_audio", audio, (params.audio_vae, latents.audio)


def block_programs(setup: Setup, count: int) -> Iterator[Program]:
    """Name, function and arguments of one block of each kind, on guided rows.

    A guided step runs each of them once in every level.
    """
    transformer = setup.config.transformer
    model = nnx.merge(setup.graphs.transformer, setup.params.transformer)
    graph, weights = nnx.split(model.levels)
    first = jax.tree.map(lambda leaf: leaf[0], weights)
    cond, _, start = _candidates(setup, count)
    rows = 2 * count
    streams = {
        "video": jnp.ones((rows, *setup.clip.video_tokens, transformer.width)),
        "audio": jnp.ones((rows, *setup.clip.audio_tokens, transformer.width)),
    }
    streams = jax.tree.map(lambda x: x.astype(model.dtype), streams)
    shared = model.modulations(model.condition(jnp.ones(rows), jnp.ones(rows)))
    rotary = model.rotary[...]

    def block(name: str) -> Callable[..., Any]:
        def run(weights, *arguments):
            level: Level = nnx.merge(graph, weights)
            return getattr(level, name)(*arguments)

        return run

    for name in _SELF_BLOCKS:
        stream = streams[name.partition("_")[0]]
        text = jax.tree.map(lambda leaf: leaf[0], cond.text[name])
        arguments = (first, stream, shared[0], rotary, text, cond.text_mask)
        yield name, block(name), arguments
    priors = couple_rows(by_row(start.extra), "candidate")
    for name in ("video", "audio"):
        kind, own = f"{name}_prior", jax.tree.map(lambda leaf: leaf[0], priors[name])
        yield kind, block(kind), (first, streams[name], shared[1], *own)
    yield "exchange", block("exchange"), (first, streams["video"], streams["audio"])
