"""LTX-2 as a generator of the core: guided flow over pairs of picture and sound.

A candidate's latents are tokens in float32, `Streams`, on the noise path; pictures that
are appended as tokens of their own come after the clip's. Everything that a prompt
fixes is in `Condition`.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.generators.ltx2 import conditioning, guidance
from avits_jax.generators.ltx2.condition import Condition, Prompt, with_contexts
from avits_jax.generators.ltx2.conditioning import CleanRule, Given, GivenSigma
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.given import begin_with
from avits_jax.generators.ltx2.guidance import RescaleOver
from avits_jax.generators.ltx2.networks import networks
from avits_jax.generators.ltx2.parts import LTX_2_3
from avits_jax.generators.ltx2.sizes import ClipSizes
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.generators.ltx2.transformer.flops import ends_flops, step_flops
from avits_jax.generators.ltx2.transformer.positions import (
    audio_positions,
    unpack_video,
    video_positions,
)
from avits_jax.generators.ltx2.transformer.rotary import rotary_tables
from avits_jax.sampling import (
    Blocks,
    Guidance,
    check_sigmas,
    euler,
    levels_at,
    noise_like,
    repeat_rows,
    usual_drafts,
)
from avits_jax.sampling.chunks import over_candidates
from avits_jax.types import Candidates, Generator, Keys, Media, PyTree

TEXT_LENGTH = 1024
"""Token ids of a prompt, padding included."""
Step = int | Int[Array, ""]
Positions = Literal["float32", "bfloat16"]


class Choices(NamedTuple):
    """Where the published implementations differ, and which of them is followed.

    Attributes:
        rescale_over: see `guidance.guided`. "candidate" (diffusers) by default, for in
            a search no candidate may depend on its neighbours; "batch" is ltx-core.
        positions: of the picture's tokens. "float32" (ltx-core 1.2.0, diffusers) by
            default, the exact ones; "bfloat16", rounded, is ltx-pipelines 1.0.0, but
            for appended pictures, which it does not round.
        clean_rule: the level that a token's velocity is multiplied with for its clean
            sample. "token" (ltx-core) by default: its own, which the network was told;
            "plain" is diffusers: the step's. They differ for strengths below 1.
        given_sigma: the level of a stream that is given whole, which modulates its
            prompt and the other stream. "zero" (ltx-pipelines 1.2.0) by default, for it
            has no noise; "step" is 1.0.0.
    """

    rescale_over: RescaleOver = "candidate"
    positions: Positions = "float32"
    clean_rule: CleanRule = "token"
    given_sigma: GivenSigma = "zero"

    def check(self) -> None:
        """Refuse words that are none of the choices."""
        kinds = (RescaleOver, Positions, CleanRule, GivenSigma)
        for (name, value), kind in zip(self._asdict().items(), kinds, strict=True):
            if value not in get_args(kind):
                raise ValueError(f"{name} is {value!r}; accepted are {get_args(kind)}")


class Carried(NamedTuple):
    """What a candidate carries along, in ``Candidates.extra``; ``()`` for nothing.

    Attributes:
        audio: tokens of the sound that are decoded in the place of its own.
        clean: given tokens of the picture, of its own.
    """

    audio: Float[Array, "N T C"] | tuple[()] = ()
    clean: Float[Array, "N T C"] | tuple[()] = ()


def ltx2(
    config: Networks,
    clip: ClipSizes,
    sigmas: tuple[float, ...],
    *,
    scales: Streams = guidance.USUAL,
    choices: Choices | None = None,
    text_length: int = TEXT_LENGTH,
    decode_batch: int = 1,
    with_preview: bool = False,
    encode: Callable[[str], Prompt] | None = None,
) -> Generator:
    """Make LTX-2 or LTX-2.3 for one size of clip.

    ``params`` of its functions is `Networks`. ``prepare`` takes a `Prompt`, the other
    functions take the `Condition` that it returns. One step evaluates the network once
    for each of the `guidance.branches`, as rows of one batch; its drafts are those of
    `sampling.usual_drafts`.

    Args:
        config: sizes of the networks.
        clip: sizes of the clip, from `clip_sizes`.
        sigmas: noise levels, see `schedule`.
        scales: of guidance, for both streams; `guidance.NONE` for distilled weights.
        choices: where the published implementations differ.
        text_length: token ids of a prompt, for the count of operations.
        decode_batch: most candidates that are decoded at once.
        with_preview: decode clips on the way with the small decoder.
        encode: what turns a prompt into a `Prompt`; None where they come so.

    Raises:
        ValueError: an option is unknown, a number is out of range, or there is no small
            decoder.

    Example:
        >>> clip = clip_sizes(image_size("512x768"), frame_count(121))
        >>> generator = ltx2(PUBLISHED, clip, shifted_sigmas(30))
    """
    choices = choices or Choices()
    _check(config, choices, scales, decode_batch, with_preview)
    sigmas = check_sigmas(sigmas)
    graphs, _ = networks(config)
    asked = guidance.branches(scales)
    texts = 1 + max(branch.text for branch in asked)

    def merged(params: Networks, name: str) -> Any:
        return nnx.merge(getattr(graphs, name), getattr(params, name))

    def text(params_text: PyTree, cond: Prompt) -> Prompt:
        return with_contexts(params_text, graphs, cond, texts)

    def prepare(params: Networks, cond: Prompt) -> Condition:
        rounded = choices.positions == "bfloat16"
        tables = rotary_tables(
            config.transformer,
            video_positions(clip.grid, clip.fps, rounded=rounded),
            audio_positions(clip.audio_tokens),
        )
        if cond.given is not None:
            tables = conditioning.with_turns(tables, cond.given)
        contexts = text(params.text, cond).text
        context = merged(params, "transformer").prepare_context(contexts)
        return Condition(context, tables, cond.given)

    def init(params: Networks, keys: Keys, cond: Condition) -> Candidates:
        noise = fresh_noise(keys, clip, config, cond.given)
        if cond.given is not None:
            noise = conditioning.start_from(cond.given, noise)
        return Candidates(noise)

    def rows(
        params: Networks,
        candidates: Candidates,
        i: Step,
        cond: Condition,
        branches: tuple[Branch, ...],
        added: Streams | None = None,
    ) -> tuple[Streams, Streams]:
        """Return clean samples of the branches, as rows, and what the blocks added.

        Or are said to have added.
        """
        given = given_of(cond, candidates)
        latents = candidates.latents
        if given is not None:
            latents = conditioning.settle(given, latents)
        now = conditioning.levels(
            levels_at(sigmas, i), given, choices.clean_rule, choices.given_sigma
        )
        latents = repeat_rows(latents, len(branches))
        velocities, added = merged(params, "transformer").reuse(
            latents,
            jax.tree.map(lambda levels: levels[None], now.of_tokens),
            now.level_of,
            jax.tree.map(lambda level: level[None], now.sigmas),
            cond.context,
            cond.tables,
            branches=branches,
            added=added,
        )
        return conditioning.clean_samples(latents, velocities, now.steps), added

    def kept(clean: Streams, candidates: Candidates, cond: Condition) -> Streams:
        given = given_of(cond, candidates)
        return clean if given is None else conditioning.blended(given, clean)

    def both(
        params: Networks, candidates: Candidates, i: Step, cond: Condition
    ) -> tuple[Streams, Streams]:
        found, _ = rows(params, candidates, i, cond, asked)
        pair = guidance.guided(found, scales, choices.rescale_over)
        conditional, guided = (kept(clean, candidates, cond) for clean in pair)
        return conditional, guided

    def reusing(
        params: Networks,
        candidates: Candidates,
        i: Step,
        cond: Condition,
        added: Streams | None,
    ) -> tuple[Streams, Streams]:
        found, added = rows(params, candidates, i, cond, asked, added)
        _, guided = guidance.guided(found, scales, choices.rescale_over)
        return kept(guided, candidates, cond), added

    def conditional_alone(
        params: Networks, candidates: Candidates, i: Step, cond: Condition
    ) -> Streams:
        clean, _ = rows(params, candidates, i, cond, (Branch(),))
        return kept(clean, candidates, cond)

    def predict(
        params: Networks, candidates: Candidates, i: Step, cond: Condition
    ) -> Streams:
        return reusing(params, candidates, i, cond, None)[0]

    def decoder(small: bool) -> Callable[[Networks, Candidates], Media]:
        def frames(params: Networks, latents: Array) -> Array:
            found = unpack_video(latents, clip.grid)
            if small:
                return jnp.clip(merged(params, "preview").decode(found), 0.0, 1.0)
            video = merged(params, "video_decoder").decode(found)
            return jnp.clip(0.5 * video + 0.5, 0.0, 1.0)

        def decode(params: Networks, candidates: Candidates) -> Media:
            vocoder, audio_decoder = (
                merged(params, name) for name in ("vocoder", "audio_decoder")
            )

            def some(latents: Streams) -> Media:
                sound = vocoder(audio_decoder.decode(latents.audio))
                return Media(frames(params, latents.video), sound)

            return over_candidates(some, sounding(candidates), decode_batch)

        return decode

    def with_image(
        params: Networks, cond: Prompt, image: Float[Array, "H W 3"]
    ) -> Prompt:
        given = begin_with(params, graphs, clip, config, image, cond.given)
        return cond._replace(given=given)

    tokens = Streams(clip.video_tokens, clip.audio_tokens)
    flops = step_flops(config.transformer, tokens, text_length, asked)
    generator = Generator(
        init=init,
        step=euler(predict, sigmas),
        decode=decoder(small=False),
        predict=predict,
        sigmas=sigmas,
        nfe_per_step=len(asked),
        fps=clip.fps,
        sample_rate=config.vocoder.sample_rate,
        encode=encode,
        prepare=prepare,
        text=text,
        text_part="text",
        rules=LTX_2_3.split,
        flops_per_evaluation=flops / len(asked),
        preview=decoder(small=True) if with_preview else None,
        with_image=with_image if config.video_encoder else None,
    )
    weaker = None if len(asked) == 1 else Guidance(both, conditional_alone)
    blocks = Blocks(reusing, ends_flops(config.transformer, tokens))
    return generator._replace(drafts=usual_drafts(generator, weaker, blocks))


def given_of(cond: Condition, candidates: Candidates) -> Given | None:
    """Return what is given to candidates, of which some may be their own."""
    given, carried = cond.given, candidates.extra
    if given is None or not (isinstance(carried, Carried) and len(carried.clean)):
        return given
    return given._replace(clean=given.clean._replace(video=carried.clean))


def sounding(candidates: Candidates) -> Streams:
    """Return the latents that are decoded."""
    latents, carried = candidates.latents, candidates.extra
    if isinstance(carried, Carried) and len(carried.audio):
        return latents._replace(audio=carried.audio)
    return latents


def fresh_noise(
    keys: Keys, clip: ClipSizes, config: Networks, given: Given | None
) -> Streams:
    """Draw the noise of candidates; that of a clip does not depend on appended tokens.

    Args:
        keys: ``[N]`` of the candidates.
        clip: sizes of the clip.
        config: sizes of the networks.
        given: what is given, which may append tokens.
    """
    sizes = config.transformer
    counts, streams = [clip.video_tokens, clip.audio_tokens], [sizes.video, sizes.audio]
    if given is not None and given.turns:
        counts.append(len(given.clean.video) - clip.video_tokens)
        streams.append(sizes.video)
    shapes = [
        jax.ShapeDtypeStruct((len(keys), count, stream.channels), jnp.float32)
        for count, stream in zip(counts, streams, strict=True)
    ]
    video, audio, *appended = noise_like(keys, shapes)
    return Streams(jnp.concatenate([video, *appended], 1), audio)


def _check(
    config: Networks,
    choices: Choices,
    scales: Streams,
    decode_batch: int,
    with_preview: bool,
) -> None:
    choices.check()
    guidance.check_scales(scales)
    if decode_batch < 1:
        raise ValueError(f"decode_batch is {decode_batch}; expected at least 1")
    if with_preview and not config.preview:
        raise ValueError(
            "preview_decoder: the checkpoint has no small decoder; convert it again "
            "with taeltx in the source folder"
        )
