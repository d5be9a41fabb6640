"""Pictures, frames and sound encoded to be given; see `conditioning`."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from avits_jax.generators.ltx2.conditioning import Given, nothing_given, with_frames
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.pictures import cover
from avits_jax.generators.ltx2.sizes import ClipSizes


def encode_pictures(
    params: Networks,
    graphs: Networks,
    clip: ClipSizes,
    frames: Float[Array, "F H W 3"],
) -> Float[Array, "f h w C"]:
    """Encode a picture, or the frames of a clip, to be given.

    Args:
        params: weights of the networks.
        graphs: their static graphs, from `networks`.
        clip: sizes of the clip that is to be made.
        frames: in [0, 1], of any size: they are scaled and cut to the clip's, see
            `pictures.cover`. One of them, or 8 k + 1.

    Returns:
        Normalised latents.

    Raises:
        ValueError: there is no encoder, or no frame.

    Example:
        A clip that ends with a picture.

        >>> latents = encode_pictures(params, graphs, clip, picture[None])
        >>> given = nothing_given(clip, config.transformer)
        >>> given = with_keyframe(
        ...     given, clip, config.transformer, latents, frame=clip.num_frames - 1)
        >>> cond = generator.encode(prompt)._replace(given=given)
    """
    encoder = _encoder(params, graphs, "video_encoder", "pictures")
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames have shape {frames.shape}; expected [F, H, W, 3]")
    frames = frames.astype(jnp.float32)
    fitted = jax.vmap(lambda image: cover(image, clip.height, clip.width))(frames)
    return encoder.encode(2 * fitted[None] - 1)[0]


def encode_sound(
    params: Networks,
    graphs: Networks,
    clip: ClipSizes,
    audio: Float[Array, "C S"],
    sample_rate: int,
) -> Float[Array, "T D"]:
    """Encode a sound to be given, so that pictures are made for it.

    Args:
        params: weights of the networks.
        graphs: their static graphs, from `networks`.
        clip: sizes of the clip that is to be made; what is longer is cut.
        audio: as many channels as the sound encoder has, in [-1, 1].
        sample_rate: of it, Hz.

    Returns:
        Normalised tokens, as `conditioning.with_audio` takes them.

    Raises:
        ValueError: there is no encoder, or the sound is too short.
    """
    encoder = _encoder(params, graphs, "audio_encoder", "sound")
    tokens = encoder.encode(audio[None], sample_rate)[0]
    if len(tokens) < clip.audio_tokens:
        raise ValueError(
            f"audio lasts {audio.shape[-1] / sample_rate:.2f} s, which is too short "
            f"for a clip of {clip.num_frames / clip.fps:.2f} s"
        )
    return tokens[: clip.audio_tokens]


def begin_with(
    params: Networks,
    graphs: Networks,
    clip: ClipSizes,
    config: Networks,
    image: Float[Array, "H W 3"],
    given: Given | None = None,
) -> Given:
    """Return a clip that begins with a picture.

    Args:
        params: weights of the networks.
        graphs: their static graphs.
        clip: sizes of the clip.
        config: sizes of the networks.
        image: in [0, 1].
        given: what is given already; None for nothing.

    Raises:
        ValueError: there is no encoder.
    """
    latents = encode_pictures(params, graphs, clip, image[None])
    if given is None:
        given = nothing_given(clip, config.transformer)
    return with_frames(given, clip, latents)


def _encoder(params: Networks, graphs: Networks, name: str, what: str):
    if not getattr(graphs, name):
        raise ValueError(
            f"{what} cannot be given: the checkpoint has no {name.replace('_', ' ')}"
        )
    return nnx.merge(getattr(graphs, name), getattr(params, name))
