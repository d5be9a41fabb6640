"""Audiobox's verifiers: how people would score the sound, whatever the prompt.

Meta Audiobox Aesthetics (Tjandra et al., arXiv 2502.05139) predicts what people say of
a sound on a scale of 1 to 10; it is heard at 16 kHz, in windows of 10 s, its level
included. Higher is better:

- ``audiobox_pq``: production quality: clear, without noise or distortion;
- ``audiobox_ce``: content enjoyment;
- ``audiobox_cu``: content usefulness, as material for others;
- ``audiobox_pc``: production complexity, how many things sound. More is not better:
  guided by it, a search ends in busy sound.

Modes: ``default`` hears the whole sound at its true rate; ``bench`` as JavisBench does,
which takes any rate for 16 kHz and hears the first 4 s of that, see
`avits_jax.verifiers.audiobox.waves`. The search server never ran it: no ``its``.
"""

from collections.abc import Sequence

from flax import nnx

from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.audiobox.config import AXES, AudioboxConfig
from avits_jax.verifiers.audiobox.params import build
from avits_jax.verifiers.audiobox.scores import WINDOW_BATCH, clip_scores
from avits_jax.verifiers.audiobox.sharding import RULES
from avits_jax.verifiers.audiobox.waves import WAVES
from avits_jax.verifiers.failures import check_mode, check_sound
from avits_jax.verifiers.stack import from_pass
from avits_jax.weights.network import Weights

NAMES = tuple(f"audiobox_{axis.lower()}" for axis in AXES)


def make(
    names: Sequence[str],
    config: AudioboxConfig,
    weights: Weights,
    *,
    fps: float,
    sample_rate: int,
    mode: str,
    candidate_batch: int | None,
) -> tuple[Verifier, ...]:
    """Make the verifiers of one pass.

    Args:
        names: some of `NAMES`.
        config: sizes of the network.
        weights: not needed: no text is read.
        fps: not needed.
        sample_rate: Hz of the sound.
        mode: "default" or "bench".
        candidate_batch: windows of at most 10 s worked on at once; None for 8.

    Raises:
        ValueError: an unknown mode.
    """
    del weights, fps
    shared = audiobox_pass(
        config,
        sample_rate=sample_rate,
        mode=mode,
        candidate_batch=candidate_batch or WINDOW_BATCH,
    )
    return tuple(
        from_pass(name, shared, name, lambda prompt: (), RULES) for name in names
    )


def audiobox_pass(
    config: AudioboxConfig,
    *,
    sample_rate: int,
    mode: str = "default",
    candidate_batch: int = WINDOW_BATCH,
) -> SharedPass:
    """Make the pass that gives all of `NAMES`.

    Args:
        config: sizes of the network.
        sample_rate: Hz of the sound.
        mode: "default" or "bench".
        candidate_batch: windows of at most 10 s worked on at once.

    Raises:
        ValueError: an unknown mode.
    """
    check_mode("Audiobox", mode, tuple(WAVES))
    graph, _ = build(config)
    wave, seconds = WAVES[mode]

    def rewards(params: PyTree, media: Media, cond: PyTree) -> dict[str, Scores]:
        check_sound(NAMES, media, sample_rate)
        scores = clip_scores(
            nnx.merge(graph, params),
            media.audio,
            sample_rate=sample_rate,
            wave=wave,
            seconds=seconds,
            window_batch=candidate_batch,
        )
        return dict(zip(NAMES, scores.T, strict=True))

    return SharedPass("audiobox", rewards)
