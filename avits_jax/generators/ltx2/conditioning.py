"""Clips of which pictures, frames or the sound are given.

A token that is given with strength w is denoised from the noise level ``sigma (1 - w)``
where the others are at ``sigma``: with strength 1 it stays as it is. The first frame,
or frames anywhere on the latent grid, replace tokens; pictures at other times are
appended as tokens of their own, which the others look at, and cut off at the end.

Source: the conformance data of LTX-2, whose states and runs are those of ltx-core 1.0.0
and ltx-pipelines 1.0.0; where 1.2.0 or diffusers 0.42.1 differ, an option says so.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.sizes import ClipSizes
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.config import TransformerConfig
from avits_jax.generators.ltx2.transformer.positions import (
    TIME,
    audio_positions,
    pack_video,
    video_positions,
)
from avits_jax.generators.ltx2.transformer.rotary import Rotary, Tables, rotary_tables

KeyBounds = Literal["narrow", "wide"]
CleanRule = Literal["token", "plain"]
GivenSigma = Literal["zero", "step"]
Partly = Literal["given", "latent"]


class Given(NamedTuple):
    """What is given of a clip, the same for all candidates; see `nothing_given`.

    Attributes:
        clean: the given tokens ``[T, C]``, float32; others are zeros. The picture's are
            those of the clip, then those that are appended.
        masks: the different values of 1 - strength ``[K]``, 1 for what is not given.
        mask_of: which of them each token has, ``[T]`` int32.
        turns: of the positions of appended tokens, one pair for each picture: within
            the picture's stream, and across to the sound's.
    """

    clean: Streams
    masks: Streams
    mask_of: Streams
    turns: tuple[tuple[Rotary, Rotary], ...] = ()


def nothing_given(clip: ClipSizes, config: TransformerConfig) -> Given:
    """Return a clip of which nothing is given yet.

    Args:
        clip: sizes of the clip.
        config: sizes of the transformer.

    Example:
        >>> given = nothing_given(clip, config.transformer)
        >>> given = with_frames(given, clip, first)
        >>> given = with_keyframe(given, clip, config.transformer, last, frame=120)
    """
    counts = clip.video_tokens, clip.audio_tokens
    widths = config.video.channels, config.audio.channels
    return Given(
        Streams(*(jnp.zeros(size) for size in zip(counts, widths, strict=True))),
        Streams(jnp.ones(1), jnp.ones(1)),
        Streams(*(jnp.zeros(count, jnp.int32) for count in counts)),
    )


def with_frames(
    given: Given,
    clip: ClipSizes,
    latents: Float[Array, "F H W C"],
    *,
    latent_frame: int = 0,
    strength: float = 1.0,
) -> Given:
    """Return the same with latent frames in the place of some of the clip.

    Args:
        given: what is given already.
        clip: sizes of the clip.
        latents: normalised latents of a picture or of a clip.
        latent_frame: the first that they replace.
        strength: in (0, 1]; 1 keeps them as they are.

    Raises:
        ValueError: they do not lie in the clip, or the strength is out of range.
    """
    last = clip.grid[0] - len(latents)
    if latents.shape[1:3] != clip.grid[1:] or not 0 <= latent_frame <= last:
        raise ValueError(
            f"latents of {latents.shape[:3]} frames, rows and columns cannot begin at "
            f"latent frame {latent_frame} of a clip of {clip.grid}"
        )
    tokens = pack_video(latents.astype(jnp.float32))
    start = latent_frame * clip.frame_tokens
    masks, mask = _one_more(given.masks.video, strength)
    here = slice(start, start + len(tokens))
    return given._replace(
        clean=given.clean._replace(video=given.clean.video.at[here].set(tokens)),
        masks=given.masks._replace(video=masks),
        mask_of=given.mask_of._replace(video=given.mask_of.video.at[here].set(mask)),
    )


def with_keyframe(
    given: Given,
    clip: ClipSizes,
    config: TransformerConfig,
    latents: Float[Array, "F H W C"],
    *,
    frame: int,
    strength: float = 1.0,
    bounds: KeyBounds = "narrow",
) -> Given:
    """Return the same with a picture, or a clip, at any frame, as tokens of its own.

    Args:
        given: what is given already.
        clip: sizes of the clip.
        config: sizes of the transformer.
        latents: normalised latents of a picture, or of several frames.
        frame: of the clip (not of its latents) that it begins with; diffusers'
            ``index``, of latent frames, is frame ``8 (index - 1) + 1``.
        strength: in (0, 1]; 1 keeps it as it is.
        bounds: how long a single picture lasts. "narrow": one frame, as in ltx-core
            1.2.0 and diffusers; it is the default because both have come to it, and a
            picture is one frame. "wide": eight, as in ltx-core 1.0.0. At frame 0, and
            of several frames, both are the same.

    Raises:
        ValueError: it does not lie in the clip, or the strength is out of range.
    """
    if latents.shape[1:3] != clip.grid[1:] or not 0 <= frame < clip.num_frames:
        raise ValueError(
            f"a picture of {latents.shape[1:3]} latent rows and columns cannot lie at "
            f"frame {frame} of a clip of {clip.num_frames} frames, {clip.grid[1:]}"
        )
    tokens = pack_video(latents.astype(jnp.float32))
    masks, mask = _one_more(given.masks.video, strength)
    places = keyframe_positions(clip, len(latents), frame, bounds)
    tables = rotary_tables(config, places, audio_positions(1))
    kinds = jnp.full(len(tokens), mask, jnp.int32)
    video = jnp.concatenate([given.clean.video, tokens])
    mask_of = jnp.concatenate([given.mask_of.video, kinds])
    return Given(
        given.clean._replace(video=video),
        given.masks._replace(video=masks),
        given.mask_of._replace(video=mask_of),
        (*given.turns, (tables.within.video, tables.across.video)),
    )


def keyframe_positions(
    clip: ClipSizes, num_frames: int, frame: int, bounds: KeyBounds = "narrow"
) -> Float[np.ndarray, "T 3 2"]:
    """Return where the tokens of appended frames begin and end.

    Args:
        clip: sizes of the clip.
        num_frames: latent frames that are appended.
        frame: see `with_keyframe`, likewise the other.
        bounds: how long a single picture lasts.
    """
    places = video_positions((num_frames, *clip.grid[1:]), clip.fps)
    if frame:
        begin = frame + TIME * np.repeat(np.arange(num_frames), clip.frame_tokens)
        length = 1 if bounds == "narrow" and num_frames == 1 else TIME
        times = np.stack([begin, begin + length], -1)
        places[:, 0] = np.float32(times) / np.float32(clip.fps)
    return places


def with_turns(tables: Tables, given: Given) -> Tables:
    """Return tables of a clip's tokens with those of appended ones after them."""
    within, across = (
        jax.tree.map(lambda *x: jnp.concatenate(x), *each)
        for each in zip(
            (tables.within.video, tables.across.video), *given.turns, strict=True
        )
    )
    return Tables(
        tables.within._replace(video=within), tables.across._replace(video=across)
    )


def with_audio(given: Given, tokens: Float[Array, "T C"]) -> Given:
    """Return the same with all of the sound given, so that a picture is made for it.

    Raises:
        ValueError: there are not as many tokens as the clip's sound has.
    """
    if tokens.shape != given.clean.audio.shape:
        raise ValueError(
            f"audio tokens have shape {tokens.shape}, the clip's "
            f"{given.clean.audio.shape}"
        )
    return given._replace(
        clean=given.clean._replace(audio=tokens.astype(jnp.float32)),
        masks=given.masks._replace(audio=jnp.zeros(1)),
        mask_of=given.mask_of._replace(audio=jnp.zeros(len(tokens), jnp.int32)),
    )


def _one_more(masks: Float[Array, " K"], strength: float) -> tuple[Array, int]:
    if not 0 < strength <= 1:
        raise ValueError(f"strength is {strength}; expected more than 0, at most 1")
    return jnp.append(masks, 1 - strength), len(masks)


def token_masks(given: Given) -> Streams:
    """Return 1 - strength of every token, ``[T, 1]`` each."""
    return jax.tree.map(lambda m, of: m[of][:, None], given.masks, given.mask_of)


def start_from(given: Given, noise: Streams) -> Streams:
    """Return latents to begin with: noise as far as tokens are not given.

    Args:
        given: what is given.
        noise: ``[N, T, C]`` each.
    """
    return _mixed(noise, given)


def settle(given: Given, latents: Streams) -> Streams:
    """Put tokens that are given with strength 1 in their places.

    Mutation and stochastic steps of a search cannot spoil them then. They do move those
    that are given with less.
    """

    def put(x: Array, clean: Array, mask: Array) -> Array:
        return jnp.where(mask > 0, x, clean)

    return jax.tree.map(put, latents, given.clean, token_masks(given))


def blended(given: Given, clean: Streams) -> Streams:
    """Return predicted clean samples, as far as tokens are not given."""
    return _mixed(clean, given)


def _mixed(made: Streams, given: Given) -> Streams:
    def mix(x: Array, clean: Array, mask: Array) -> Array:
        return x * mask + clean * (1 - mask)

    return jax.tree.map(mix, made, given.clean, token_masks(given))


class Levels(NamedTuple):
    """Noise levels of a step, as the transformer takes them.

    Attributes:
        of_tokens: the different levels of tokens, ``[K]`` each.
        level_of: which of them each token has, ``[T]``; None where there is one.
        sigmas: the streams' own.
        steps: what a velocity is multiplied with for the clean sample: numbers, or
            ``[T, 1]``.
    """

    of_tokens: Streams
    level_of: Streams
    sigmas: Streams
    steps: Streams


def levels(
    sigma: Float[Array, ""],
    given: Given | None,
    clean_rule: CleanRule = "token",
    given_sigma: GivenSigma = "zero",
) -> Levels:
    """Return the noise levels of tokens at a step.

    Args:
        sigma: level of the step.
        given: what is given.
        clean_rule: how a clean sample is made of a velocity, see `ltx2`.
        given_sigma: the level that a stream has which is given whole, see `ltx2`.
    """
    if given is None:
        one = Streams(sigma, sigma)
        ends = jax.tree.map(lambda s: s[None], one)
        return Levels(ends, Streams(None, None), one, one)
    of_tokens = jax.tree.map(lambda masks: sigma * masks, given.masks)
    sigmas = Streams(sigma, sigma)
    if given_sigma == "zero":
        made = jax.tree.map(lambda mask: mask.max() > 0, token_masks(given))
        sigmas = jax.tree.map(lambda some: jnp.where(some, sigma, 0.0), made)
    steps = Streams(sigma, sigma)
    if clean_rule == "token":
        steps = jax.tree.map(lambda mask: sigma * mask, token_masks(given))
    level_of = Streams(
        *(
            of if len(masks) > 1 else None
            for of, masks in zip(given.mask_of, given.masks, strict=True)
        )
    )
    return Levels(of_tokens, level_of, sigmas, steps)


def clean_samples(latents: Streams, velocities: Streams, steps: Streams) -> Streams:
    """Return ``x - s v``, see `Levels`."""
    return jax.tree.map(lambda x, v, s: x - s * v, latents, velocities, steps)


def restarted(
    noise: Streams,
    latents: Streams,
    sigma: float,
    given: Given | None,
    partly: Partly = "given",
) -> Streams:
    """Return latents of a new beginning at a noise level.

    ``s m noise + (1 - s m) x`` with ``m`` = 1 - strength of a token.

    Args:
        noise: ``[N, T, C]`` each.
        latents: clean latents likewise, of tokens that are not appended.
        sigma: level ``s`` to begin at.
        given: what is given.
        partly: what tokens begin from that are given with a strength below 1. "given":
            the given ones, as in ltx-pipelines 1.0.0 and diffusers. "latent": from
            ``latents``, brought to the level and then blended with the given ones, as
            in 1.2.0.
    """

    def begin(x: Array, fresh: Array, level: Array | float) -> Array:
        return fresh * level + x * (1 - level)

    if given is None:
        return jax.tree.map(lambda x, fresh: begin(x, fresh, sigma), latents, noise)
    if partly == "latent":
        noisy = jax.tree.map(lambda x, fresh: begin(x, fresh, sigma), latents, noise)
        return _mixed(noisy, given)

    def from_given(x: Array, fresh: Array, clean: Array, mask: Array) -> Array:
        return begin(jnp.where(mask < 1, clean, x), fresh, sigma * mask)

    return jax.tree.map(from_given, latents, noise, given.clean, token_masks(given))
