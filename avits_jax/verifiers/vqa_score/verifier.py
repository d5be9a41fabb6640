"""VQAScore as a verifier: how likely a model says that the clip shows the text.

Lin et al., ECCV 2024 (t2v_metrics), with CLIP-FlanT5-XXL. The score is the mean over
frames of the geometric mean of two probabilities, of "Yes" and of the end of the
answer: in (0, 1], higher is better.

Modes: ``default`` asks about 8 frames spread over the clip. ``its`` does what the
paper's search server does: it asks about every frame, of a clip whose value range is
guessed and whose levels are truncated; for 102 frames about 775 TFLOP per clip. The
server's own model code is not public, so this has no exact reference. The published
benchmark of audio and video does not use VQAScore: there is no mode ``bench``.

A clip with a value that is NaN or infinite scores NaN.
"""

from collections.abc import Callable, Sequence

import numpy as np
from flax import nnx
from jaxtyping import Int

from avits_jax.text import tokenizers
from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.failures import (
    broken,
    check_mode,
    check_pixels,
    failed_as_nan,
)
from avits_jax.verifiers.stack import from_pass
from avits_jax.verifiers.texts import pad_end, shorten
from avits_jax.verifiers.vqa_score.config import VQAScoreConfig
from avits_jax.verifiers.vqa_score.params import build
from avits_jax.verifiers.vqa_score.preprocess import question_ids
from avits_jax.verifiers.vqa_score.scores import MODES, NUM_FRAMES, score_clips
from avits_jax.verifiers.vqa_score.sharding import RULES
from avits_jax.weights.network import Weights

_FAMILY = "vqa_score"
PAD_MULTIPLE = 32
CANDIDATE_BATCH = 1


def make(
    names: Sequence[str],
    config: VQAScoreConfig,
    weights: Weights,
    *,
    fps: float,
    sample_rate: int,
    mode: str = "default",
    candidate_batch: int | None = None,
    num_frames: int = NUM_FRAMES,
) -> tuple[Verifier, ...]:
    """Make the verifier.

    Args:
        names: ``vqa_score``.
        config: sizes of the network.
        weights: where the tokenizer's files are, beside the weights; with random
            weights a dummy tokenizer takes its place.
        fps: unused, frames are spread over the clip whatever its rate.
        sample_rate: unused, nothing is heard.
        mode: "default" or "its".
        candidate_batch: eights of frames worked on at once, which is clips in mode
            ``default``; 1 if None.
        num_frames: frames asked about in mode ``default``.

    Returns:
        The verifier. Its ``encode`` gives what `encode_question`
        does; its scores are float32.

    Raises:
        ValueError: unknown mode, or the tokenizer's files are missing. While scoring:
            no frame.
    """
    check_mode("VQAScore", mode, MODES)
    batch = CANDIDATE_BATCH if candidate_batch is None else candidate_batch
    shared = SharedPass(_FAMILY, _rewards(config, mode, num_frames, NUM_FRAMES * batch))
    tokenize = _tokenizer(config, weights)

    def encode(prompt: str) -> tuple[Int[np.ndarray, " L"], Int[np.ndarray, " T"]]:
        return encode_question(tokenize, prompt, config)

    return tuple(from_pass(name, shared, name, encode, RULES) for name in names)


def encode_question(
    tokenize: tokenizers.Tokenize, prompt: str, config: VQAScoreConfig
) -> tuple[Int[np.ndarray, " L"], Int[np.ndarray, " T"]]:
    """Tokenize the question, and the answer "Yes".

    The question is padded at its end to a multiple of 32; the network masks padding. Of
    a prompt of more than 512 tokens only the start is asked about, with a warning.
    """
    text = shorten(prompt, tokenize, _FAMILY)
    ids, answer = question_ids(tokenize, text, config.image_token)
    return pad_end(ids.tolist(), PAD_MULTIPLE, config.pad_token), answer


def _tokenizer(config: VQAScoreConfig, weights: Weights) -> tokenizers.Tokenize:
    if weights.folder is None:
        return tokenizers.dummy("t5", config.t5.vocab_size)
    return tokenizers.load(weights.folder, "t5")


def _rewards(
    config: VQAScoreConfig, mode: str, num_frames: int, frame_batch: int
) -> Callable[..., dict[str, Scores]]:
    graph = build(config)[0]

    def rewards(params: PyTree, media: Media, cond: PyTree) -> dict[str, Scores]:
        model, video = nnx.merge(graph, params), media.video
        check_pixels(_FAMILY, video)
        scores = score_clips(
            model,
            video,
            *cond,
            mode=mode,
            num_frames=num_frames,
            frame_batch=frame_batch,
        )
        return {_FAMILY: failed_as_nan(scores, broken(video))}

    return rewards
