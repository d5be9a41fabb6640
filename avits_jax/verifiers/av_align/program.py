"""AV-Align scores of a population."""

import jax
import jax.numpy as jnp

from avits_jax.types import Media, Scores
from avits_jax.verifiers.av_align.flow import AV_ALIGN_FLOW, FlowConfig
from avits_jax.verifiers.av_align.score import av_align, grey_levels


def score_clips(
    media: Media,
    *,
    fps: float,
    sample_rate: int,
    flow: FlowConfig = AV_ALIGN_FLOW,
    candidate_batch: int = 1,
) -> Scores:
    """AV-Align of every candidate, in [0, 1]; higher is better.

    Args:
        media: video ``[N, F, H, W, 3]`` in [0, 1]; audio ``[N, S]`` or ``[N, C, S]``,
            mixed to mono.
        fps: frames per second of the video.
        sample_rate: Hz of the audio.
        flow: parameters of the optical flow.
        candidate_batch: candidates worked on at once.

    Returns:
        Scores, NaN where a clip holds NaN.

    Raises:
        ValueError: if there are fewer than two frames.
    """
    audio = media.audio if media.audio.ndim == 2 else jnp.mean(media.audio, 1)

    def one(clip):
        video, sound = clip
        score = av_align(
            grey_levels(video), sound, fps=fps, sample_rate=sample_rate, flow=flow
        )
        # Comparisons with NaN are False: a broken clip would seem to have no peaks.
        broken = jnp.any(jnp.isnan(video)) | jnp.any(jnp.isnan(sound))
        return jnp.where(broken, jnp.nan, score)

    return jax.lax.map(one, (media.video, audio), batch_size=candidate_batch)
