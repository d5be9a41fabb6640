"""Real clips, or parts of them, encoded to be given; see `sampling.masks`."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.guidance import Latents
from avits_jax.generators.javisdit.sizes import ClipSizes
from avits_jax.sampling.masks import Given


def given_clip(
    params: Networks,
    graphs: Networks,
    clip: ClipSizes,
    video: Float[Array, "F H W 3"] | None,
    audio: Float[Array, " S"] | None,
    *,
    video_mask: Float[Array, " T"],
    audio_mask: Float[Array, " Ta"],
) -> Given:
    """Encode a real clip, or its beginning, to be kept or continued.

    Latents are the means of the autoencoders' posteriors: nothing is drawn. What lies
    behind the end of a shorter clip or sound is made from noise, whatever its mask.

    Args:
        params: weights of the networks.
        graphs: their static graphs, from `networks`.
        clip: sizes of the clip that is to be made.
        video: frames in [0, 1], ``clip.height`` by ``clip.width`` pixels (or as decoded
            clips are: ``clip.decoded_height`` by ``clip.decoded_width``):
            ``clip.num_frames`` of them, or fewer in whole chunks of 17, the first of
            the clip. None for none.
        audio: samples in [-1, 1] at the vocoder's rate from the beginning of the clip,
            at least 1024. None for none.
        video_mask: one number in [0, 1] per latent frame, ``clip.video_latent[0]``.
        audio_mask: one per latent time step, ``clip.audio_latent[0]``. A token of the
            transformer spans four of them and goes by the first one's mask.

    Raises:
        ValueError: a size does not fit; the message says which ones do.

    Example:
        Keep the first 17 frames (5 latent ones), make the rest and all of the sound.

        >>> graphs, _ = networks(PUBLISHED)
        >>> clip = clip_sizes(*image_size("240p", "9:16"), frame_count("4s"))
        >>> given = given_clip(
        ...     params, graphs, clip, video[:17], None,
        ...     video_mask=jnp.arange(clip.video_latent[0]) >= 5,
        ...     audio_mask=jnp.ones(clip.audio_latent[0]))
        >>> cond = generator.encode(prompt)._replace(given=given)
    """
    masks = Latents(
        _checked("video_mask", video_mask, clip.video_latent[0]),
        _checked("audio_mask", audio_mask, clip.audio_latent[0]),
    )
    pictures = _encoded_video(params, graphs, clip, video)
    sound = _encoded_audio(params, graphs, clip, audio)
    pairs = [
        _filled(latents, mask, size)
        for latents, mask, size in zip(
            (pictures, sound),
            masks,
            (clip.video_latent, clip.audio_latent),
            strict=True,
        )
    ]
    return Given(Latents(*(x for x, _ in pairs)), Latents(*(m for _, m in pairs)))


def _checked(name: str, mask: Float[Array, " T"], length: int) -> Float[Array, " T"]:
    mask = jnp.asarray(mask, jnp.float32)
    if mask.shape != (length,):
        raise ValueError(f"{name} has shape {mask.shape}; expected ({length},)")
    return mask


def _encoded_video(params, graphs, clip: ClipSizes, video) -> Array | None:
    if video is None:
        return None
    vae = nnx.merge(graphs.video_vae, params.video_vae)
    chunk = vae.config.chunk_frames
    frames, *pixels = video.shape[:3]
    sizes = ([clip.height, clip.width], [clip.decoded_height, clip.decoded_width])
    whole = frames == clip.num_frames or (
        frames < clip.num_frames and not frames % chunk
    )
    if not frames or not whole or pixels not in sizes:
        raise ValueError(
            f"video is {frames} frames of {pixels}; expected {clip.num_frames} frames, "
            f"or fewer in multiples of {chunk}, of {sizes[0]} or {sizes[1]} pixels"
        )
    return vae.encode(2 * jnp.asarray(video, jnp.float32)[None] - 1)[0]


def _encoded_audio(params, graphs, clip: ClipSizes, audio) -> Array | None:
    if audio is None:
        return None
    vae = nnx.merge(graphs.audio_vae, params.audio_vae)
    room = clip.mel_rows * vae.config.vocoder.hop
    if audio.ndim != 1 or not vae.shortest <= len(audio) <= room:
        raise ValueError(
            f"audio has shape {audio.shape}; expected one channel of {vae.shortest} "
            f"to {room} samples"
        )
    steps = -(-len(audio) // (vae.config.vocoder.hop * vae.config.factor))
    padded = jnp.pad(jnp.asarray(audio, jnp.float32), (0, room - len(audio)))
    return vae.encode(padded[None])[0, :steps]


def _filled(
    latents: Array | None, mask: Array, size: tuple[int, ...]
) -> tuple[Array, Array]:
    """Fill latents up with zeros, and the mask with ones where there was nothing."""
    if latents is None:
        return jnp.zeros(size), jnp.ones_like(mask)
    missing = size[0] - len(latents)
    margins = [(0, missing)] + [(0, 0)] * (latents.ndim - 1)
    given = jnp.arange(size[0]) < len(latents)
    return jnp.pad(latents, margins), jnp.where(given, mask, 1.0)
