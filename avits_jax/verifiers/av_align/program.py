"""AV-Align scores of a population."""

import jax
import jax.numpy as jnp

from avits_jax.types import Media, Scores
from avits_jax.verifiers.av_align.flow import AV_ALIGN_FLOW, FlowConfig
from avits_jax.verifiers.av_align.score import av_align, grey_levels
from avits_jax.verifiers.failures import check_frames, check_sound


def score_clips(
    media: Media,
    *,
    fps: float,
    sample_rate: int,
    flow: FlowConfig = AV_ALIGN_FLOW,
    candidate_batch: int = 1,
) -> Scores:
    """Score every candidate by AV-Align, see `av_align`; higher is better.

    Args:
        media: video ``[N, F, H, W, 3]`` in [0, 1]; audio ``[N, S]`` or ``[N, C, S]``,
            mixed to mono.
        fps: frames per second of the video.
        sample_rate: Hz of the audio.
        flow: parameters of the optical flow.
        candidate_batch: candidates worked on at once.

    Returns:
        Scores, NaN where a clip holds NaN or infinity.

    Raises:
        ValueError: if there are fewer than two frames, or no sound.
    """
    check_frames(["av_align"], media, 2)
    check_sound(["av_align"], media, sample_rate)
    audio = media.audio if media.audio.ndim == 2 else jnp.mean(media.audio, 1)

    def one(index):
        clip = media.video[index], audio[index]
        video, sound = (x.astype(jnp.float32) for x in clip)
        grey = grey_levels(video).astype(jnp.uint8)  # whole: a quarter of the memory
        score = av_align(grey, sound, fps=fps, sample_rate=sample_rate, flow=flow)
        # Comparisons with NaN are False: a broken clip would seem to have no peaks.
        # Colour by colour, as in `grey_levels`: one flag a pixel is kept, not three.
        red, green, blue = (jnp.isfinite(video[..., color]) for color in range(3))
        whole = jnp.all(red & green & blue) & jnp.all(jnp.isfinite(sound))
        return jnp.where(whole, score, jnp.nan)

    # By index: clips as the loop's input would be copied.
    return jax.lax.map(one, jnp.arange(len(audio)), batch_size=candidate_batch)
