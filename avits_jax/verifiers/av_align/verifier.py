"""AV-Align's verifier: do onsets of the sound coincide with bursts of motion?

``av_align`` is the share of peaks that audio and video have in common, from 0 upwards
and mostly below 1 (a video peak may match several audio peaks); higher is better. Yariv
et al., "Diverse and Aligned Audio-to-Video Generation", arXiv 2309.16429, and its code
guyyariv/TempoTokens. Peaks are librosa's onsets and local maxima of the mean optical
flow (OpenCV's Farneback). There are no weights.

There is one mode: the search server and the metric itself take 8-bit frames and the
wave at its own rate, and the wave's scale hardly moves an onset. What would be left for
modes to differ in is the server's guess of the value range, which is a fault.

The score is coarse (a peak more changes it a lot) and best used to judge, not to guide.
"""

from collections.abc import Sequence

from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.av_align.program import score_clips
from avits_jax.verifiers.failures import check_mode
from avits_jax.verifiers.stack import from_pass
from avits_jax.weights.network import Weights


def make(
    names: Sequence[str],
    config: None,
    weights: Weights,
    *,
    fps: float,
    sample_rate: int,
    mode: str,
    candidate_batch: int | None,
) -> tuple[Verifier, ...]:
    """Make the verifier.

    Args:
        names: ``["av_align"]``.
        config: nothing.
        weights: not needed.
        fps: frames per second of the clips.
        sample_rate: Hz of their sound.
        mode: "default".
        candidate_batch: candidates worked on at once; None for one.

    Raises:
        ValueError: another mode.
    """
    del config, weights
    check_mode("AV-Align", mode, ("default",))

    def rewards(params: PyTree, media: Media, cond: PyTree) -> dict[str, Scores]:
        score = score_clips(
            media,
            fps=fps,
            sample_rate=sample_rate,
            candidate_batch=candidate_batch or 1,
        )
        return {"av_align": score}

    shared = SharedPass("av_align", rewards)
    return tuple(from_pass(name, shared, name, lambda prompt: ()) for name in names)
