"""VQAScore of clips: the mean over frames.

Upstream: linzhiqiu/t2v_metrics scores images; frames and their mean are ours.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.nn.pictures import to_levels
from avits_jax.sampling.chunks import in_batches
from avits_jax.verifiers.its import its_levels
from avits_jax.verifiers.vqa_score.modeling import VQAScore, answer_likelihood
from avits_jax.verifiers.vqa_score.preprocess import prepare_frames

MODES = ("default", "its")
NUM_FRAMES = 8


def spread_frames(num_frames: int, count: int) -> Int[np.ndarray, " n"]:
    """Return at most ``count`` frames, the middles of equal parts of a clip."""
    count = min(count, num_frames)
    return np.floor((np.arange(count) + 0.5) * num_frames / count).astype(np.int32)


def score_clips(
    model: VQAScore,
    video: Float[Array, "N F H W 3"],
    ids: Int[Array, " L"],
    answer: Int[Array, " T"],
    *,
    mode: str = "default",
    num_frames: int = NUM_FRAMES,
    frame_batch: int = 1,
) -> Float[Array, " N"]:
    """Return how likely the answer is "Yes" when asked whether a clip shows a text.

    Args:
        model: network with its weights.
        video: clips in [0, 1].
        ids: the question, as `question_ids` gave it for the text.
        answer: the answer, "Yes" and the end token.
        mode: ``default`` asks about ``num_frames`` frames spread over the clip;
            ``its``, as the search server, about every frame of a clip whose value range
            is guessed, at many times the cost. The server's own model code is not
            public: this path has no exact reference.
        num_frames: frames asked about in mode ``default``.
        frame_batch: frames worked on at once, over all clips.

    Returns:
        Mean over frames in (0, 1], higher is better. NaN where a frame gave NaN.

    Raises:
        ValueError: unknown mode, or ``num_frames`` below 1.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    if mode == "its":
        levels = its_levels(video)
    else:
        levels = to_levels(video[:, spread_frames(video.shape[1], num_frames)])

    def likelihood(levels):
        images = prepare_frames(levels, model.config.clip.image_size)
        rows = [jnp.broadcast_to(x, (len(levels), *x.shape)) for x in (ids, answer)]
        return answer_likelihood(model(images, *rows), rows[1])

    frames = levels.reshape(-1, *levels.shape[2:])
    scores = in_batches(likelihood, frames, frame_batch)
    return jnp.mean(scores.reshape(len(levels), -1), 1)
