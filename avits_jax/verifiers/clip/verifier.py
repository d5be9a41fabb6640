"""CLIP's verifier: agreement of the prompt with single frames.

``clip_score`` is the mean over frames of the cosine between the embeddings of a caption
and of a frame (Radford et al., arXiv 2103.00020; ViT-B/32), in [-1, 1], for real pairs
mostly 0.2 to 0.4; higher is better. It sees no motion. Modes, see `modes`:

- ``default``: at most 48 frames of the whole clip, each once, colours as they are;
- ``bench``: JavisBench's published numbers: 48 frames, red and blue swapped.

A prompt of more than 77 tokens is cut in both, and keeps its end token. The published
scale is the cosine itself.
"""

from collections.abc import Sequence

import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from avits_jax.networks.clip.config import ClipConfig
from avits_jax.networks.clip.params import build
from avits_jax.networks.clip.sharding import RULES
from avits_jax.text.clip_bpe import count_tokens, encode
from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.clip.modes import MODES, NUM_FRAMES
from avits_jax.verifiers.clip.scores import score_clips
from avits_jax.verifiers.failures import check_mode
from avits_jax.verifiers.stack import from_pass
from avits_jax.verifiers.texts import tell_of_cut
from avits_jax.weights.network import Weights

# 192 frames: 0.6 GB beside the clips at 240p, however many there are.
CANDIDATE_BATCH = 4


def make(
    names: Sequence[str],
    config: ClipConfig,
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
        names: ``["clip_score"]``.
        config: sizes of the encoders.
        weights: not needed, the tokenizer has no file beside them.
        fps: unused, frames are spread over the clip whatever its rate.
        sample_rate: unused, nothing is heard.
        mode: "default" or "bench".
        candidate_batch: candidates worked on at once; 4 if None.
        num_frames: most frames looked at in mode ``default``.

    Raises:
        ValueError: an unknown mode. While scoring: no frame, or a number below 1.
    """
    del weights, fps, sample_rate
    shared = clip_pass(
        config,
        mode=mode,
        num_frames=num_frames,
        candidate_batch=candidate_batch or CANDIDATE_BATCH,
    )

    def tokenize(prompt: str) -> Int[np.ndarray, " L"]:
        return encode_prompt(prompt, config.text.context_length)

    return tuple(from_pass(name, shared, name, tokenize, RULES) for name in names)


def encode_prompt(prompt: str, length: int) -> Int[np.ndarray, " length"]:
    """Return the ids of a prompt; a `UserWarning` says that it is cut."""
    tell_of_cut("CLIP", count_tokens(prompt), length)
    return encode(prompt, length)


def clip_pass(
    config: ClipConfig,
    *,
    mode: str = "default",
    num_frames: int = NUM_FRAMES,
    candidate_batch: int = CANDIDATE_BATCH,
) -> SharedPass:
    """Make the pass that gives ``clip_score``.

    Args:
        config: sizes of the encoders.
        mode: "default" or "bench".
        num_frames: most frames looked at in mode ``default``.
        candidate_batch: candidates worked on at once.

    Raises:
        ValueError: an unknown mode.
    """
    check_mode("CLIP", mode, tuple(MODES))
    graph, _ = build(config)

    def rewards(
        params: PyTree, media: Media, cond: Int[Array, " L"]
    ) -> dict[str, Scores]:
        score = score_clips(
            nnx.merge(graph, params),
            media.video,
            cond,
            side=config.vision.image_size,
            mode=MODES[mode],
            num_frames=num_frames,
            candidate_batch=candidate_batch,
        )
        return {"clip_score": score}

    return SharedPass("clip", rewards)
