"""Rewards of clips, from VideoReward's raw outputs.

Upstream: KwaiVGI/VideoAlign, inference.py (VideoVLMRewardInference).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avits_jax.nn.pictures import to_levels
from avits_jax.sampling.chunks import in_batches
from avits_jax.verifiers.its import its_levels
from avits_jax.verifiers.video_reward.config import (
    DIMENSIONS,
    REWARD_MEAN,
    REWARD_STD,
    VideoRewardConfig,
)
from avits_jax.verifiers.video_reward.modeling import VideoReward
from avits_jax.verifiers.video_reward.preprocess import (
    chosen_frames,
    frame_size,
    grid_of,
    prepare_frames,
)


def normalise_rewards(
    raw: Float[Array, "*B 3"],
    mean: tuple[float, ...] = REWARD_MEAN,
    std: tuple[float, ...] = REWARD_STD,
) -> Float[Array, "*B 3"]:
    """Centre and scale raw VQ, MQ, TA by the statistics of the released checkpoint."""
    return (raw - jnp.asarray(mean, raw.dtype)) / jnp.asarray(std, raw.dtype)


def overall(normed: Float[Array, "*B 3"]) -> Float[Array, "*B"]:
    """Sum the normalised rewards."""
    return jnp.sum(normed, -1)


def named_rewards(raw: Float[Array, "*B 3"]) -> dict[str, Float[Array, "*B"]]:
    """Return all rewards that are made of the three raw ones; higher is better.

    Returns:
        ``vq``, ``mq``, ``ta`` normalised (the paper's search uses ``ta`` alone),
        ``overall`` their sum, and ``raw_vq``, ``raw_mq``, ``raw_ta`` (JavisBench
        reports ``raw_vq`` and ``raw_mq``).
    """
    normed = normalise_rewards(raw)
    names = [name.lower() for name in DIMENSIONS]
    rewards = {name: normed[..., i] for i, name in enumerate(names)}
    rewards["overall"] = overall(normed)
    rewards |= {f"raw_{name}": raw[..., i] for i, name in enumerate(names)}
    return rewards


def num_video_tokens(
    num_frames: int,
    height: int,
    width: int,
    config: VideoRewardConfig,
    *,
    fps: float,
    mode: str = "default",
) -> int:
    """Return how many video tokens a clip takes in the prompt; see `build_chat`."""
    vision = config.vision
    size = frame_size(height, width, factor=vision.token_side)
    rows, columns = grid_of(*size, vision)
    frames = len(chosen_frames(num_frames, fps, mode))
    pairs = -(-frames // vision.temporal_patch_size)
    return pairs * rows * columns // vision.merge_size**2


def score_clips(
    model: VideoReward,
    video: Float[Array, "N F H W 3"],
    ids: Int[Array, " L"],
    *,
    fps: float,
    mode: str = "default",
    candidate_batch: int = 1,
) -> Float[Array, "N 3"]:
    """Return raw VQ, MQ and TA; `named_rewards` turns them into rewards.

    Args:
        model: network with its weights.
        video: clips in [0, 1].
        ids: the tokenized `build_chat` of the caption, `num_video_tokens` of them for
            the video.
        fps: frames per second of the clips.
        mode: ``default`` and ``bench`` look at two frames per second of the true rate,
            as the published model does; ``its``, as the search server, at four frames
            whatever the length, of a clip whose value range is guessed and whose levels
            are truncated instead of rounded.
        candidate_batch: clips worked on at once.

    Returns:
        Raw rewards; NaN for a clip that failed.
    """
    # The server guesses the range from the whole clip, before it chooses frames.
    convert = its_levels if mode == "its" else to_levels
    levels = convert(video)[:, chosen_frames(video.shape[1], fps, mode)]

    def rewards(levels):
        patches, rows, columns = prepare_frames(levels, model.config.vision)
        prompts = jnp.broadcast_to(ids, (len(levels), *ids.shape))
        return model(patches, prompts, rows, columns)

    return in_batches(rewards, levels, candidate_batch)
