"""VideoReward as verifiers: quality of picture and motion, agreement with the text.

Liu et al., arXiv 2501.13918 (VideoAlign). One pass of a Qwen2-VL gives three rewards;
seven verifiers read them, all of them "higher is better":

- ``video_reward``: text alignment, centred and scaled by the statistics of the released
  checkpoint, about -3 to 3. It alone guides the paper's search.
- ``video_reward_vq``, ``video_reward_mq``: visual and motion quality, likewise.
- ``video_reward_overall``: the sum of the three.
- ``video_reward_raw_ta``, ``_raw_vq``, ``_raw_mq``: as the network gives them; the
  published benchmark reports the last two.

Modes: ``default`` and ``bench`` are the published model: two frames per second of the
clip's true rate, at least 4. ``its`` is the paper's search server: four frames whatever
the length, the value range guessed from the clip, levels truncated. See `preprocess`.

Differences from the source: a caption cannot smuggle in special tokens (`prompts`);
the clip is scored from its pixels, not from a video file, so nothing is lost to a
codec; a clip of one frame is shown twice instead of refused; a clip with a value that
is NaN or infinite scores NaN.
"""

from collections.abc import Callable, Sequence
from functools import partial

from flax import nnx
from jaxtyping import Array

from avits_jax.text import tokenizers
from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.failures import (
    broken,
    check_mode,
    check_pixels,
    failed_as_nan,
)
from avits_jax.verifiers.stack import from_pass
from avits_jax.verifiers.video_reward.config import VideoRewardConfig
from avits_jax.verifiers.video_reward.params import build
from avits_jax.verifiers.video_reward.preprocess import MODES
from avits_jax.verifiers.video_reward.scores import (
    named_rewards,
    num_video_tokens,
    score_clips,
)
from avits_jax.verifiers.video_reward.sharding import RULES
from avits_jax.verifiers.video_reward.tokens import encode_chat, insert_video
from avits_jax.weights.network import Weights

_FAMILY = "video_reward"
_MAIN = "ta"
CANDIDATE_BATCH = 4


def make(
    names: Sequence[str],
    config: VideoRewardConfig,
    weights: Weights,
    *,
    fps: float,
    sample_rate: int,
    mode: str = "default",
    candidate_batch: int | None = None,
) -> tuple[Verifier, ...]:
    """Make verifiers that share one pass.

    Args:
        names: ``video_reward`` and ``video_reward_OUTPUT``, see the module.
        config: sizes of the network.
        weights: where the tokenizer's files are, beside the weights; with random
            weights a dummy tokenizer takes its place.
        fps: frames per second of the clips.
        sample_rate: unused, nothing is heard.
        mode: "default", "bench" or "its".
        candidate_batch: clips worked on at once, 4 if None: about 1400 tokens each.

    Returns:
        Verifiers in the order of ``names``. Their ``encode`` gives int32 ids ``[L]``,
        see `encode_chat`; their scores are float32.

    Raises:
        ValueError: unknown mode, or the tokenizer's files are missing. While scoring:
            no frame, or frames 200 times as long as wide.
    """
    check_mode("VideoReward", mode, MODES)
    batch = CANDIDATE_BATCH if candidate_batch is None else candidate_batch
    shared = SharedPass(_FAMILY, _rewards(config, fps, mode, batch))
    encode = partial(encode_chat, _tokenizer(config, weights), config=config)
    return tuple(from_pass(name, shared, name, encode, RULES) for name in names)


def _tokenizer(config: VideoRewardConfig, weights: Weights) -> tokenizers.Tokenize:
    if weights.folder is None:
        return tokenizers.dummy("qwen2", config.vocab_size)
    return tokenizers.load(weights.folder, "qwen2")


def _rewards(
    config: VideoRewardConfig, fps: float, mode: str, batch: int
) -> Callable[..., dict[str, Scores]]:
    graph = build(config)[0]

    def rewards(params: PyTree, media: Media, cond: Array) -> dict[str, Scores]:
        model, video = nnx.merge(graph, params), media.video
        check_pixels(_FAMILY, video)
        frames, height, width = video.shape[1:4]
        count = num_video_tokens(frames, height, width, config, fps=fps, mode=mode)
        ids = insert_video(cond, count, config.video_token)
        raw = score_clips(model, video, ids, fps=fps, mode=mode, candidate_batch=batch)
        return _public(named_rewards(failed_as_nan(raw, broken(video))))

    return rewards


def _public(rewards: dict[str, Scores]) -> dict[str, Scores]:
    """Return rewards by the names of their verifiers."""
    return {
        _FAMILY if name == _MAIN else f"{_FAMILY}_{name}": value
        for name, value in rewards.items()
    }
