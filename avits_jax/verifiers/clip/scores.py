"""CLIP scores of a population."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avits_jax.networks.clip.modeling import Clip
from avits_jax.nn.vectors import unit
from avits_jax.sampling.chunks import in_batches
from avits_jax.types import Scores
from avits_jax.verifiers.clip.modes import DEFAULT, NUM_FRAMES, Mode
from avits_jax.verifiers.failures import broken, check_pixels, failed_as_nan


def frame_cosines(
    images: Float[Array, "*N F E"], text: Float[Array, "*#N E"]
) -> Float[Array, "*N F"]:
    """Return each frame's cosine with its clip's text, or with one text, float32."""
    return jnp.sum(unit(images) * unit(text)[..., None, :], -1)


def score_clips(
    model: Clip,
    video: Float[Array, "N F H W 3"],
    ids: Int[Array, " L"],
    *,
    side: int,
    mode: Mode = DEFAULT,
    num_frames: int = NUM_FRAMES,
    candidate_batch: int = 1,
) -> Scores:
    """Return the mean over frames of their cosine with one text, in [-1, 1].

    The text is embedded once. Pixels are prepared in float32, and only of the
    candidates that are worked on.

    Args:
        model: the encoders.
        video: in [0, 1].
        ids: CLIP's token ids of the text, padded with 0.
        side: pixels of a square picture's side.
        mode: which frames are read, and how.
        num_frames: most frames read in mode `DEFAULT`.
        candidate_batch: candidates worked on at once.

    Returns:
        float32 scores, NaN where any frame holds NaN or infinity; higher is better.

    Raises:
        ValueError: a clip has no frame or no pixel, or a number is below 1.
    """
    check_pixels("clip_score", video)
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    chosen = mode.frames(video.shape[1], num_frames)
    text = model.embed_texts(ids[None])

    def score(video: Float[Array, "n F H W 3"]) -> Scores:
        pictures = mode.pictures(video[:, chosen].astype(jnp.float32), side)
        embedded = model.embed_images(pictures.reshape(-1, side, side, 3))
        embedded = embedded.reshape(len(video), len(chosen), -1)
        mean = jnp.mean(frame_cosines(embedded, text), -1)
        return failed_as_nan(mean, broken(video))

    return in_batches(score, video, candidate_batch)
