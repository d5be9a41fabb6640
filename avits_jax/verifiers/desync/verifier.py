"""DeSync's verifiers: by how much picture and sound are apart in time.

Synchformer (Iashin et al., ICASSP 2024; the weights of hkchengrex/MMAudio) tells 21
offsets from -2 to 2 s apart. Higher is better:

- ``desync``: minus the size of the likeliest offset, mean over groups of 14 segments,
  in [-2, 0] seconds: the metric of JavisBench, negated. A step function of the clip;
- ``desync_smooth``: minus the size that the probabilities expect, in (-2, 0) seconds:
  smooth, for search. In neither paper.

Modes: ``default`` reads the whole clip and no more; ``bench`` its first 8 s, and fills
a shorter clip with black and silence, as the benchmark does, so that a clip of 4 s is
judged on an input that is half empty. The search server never ran it: no ``its``.
"""

from collections.abc import Sequence

from flax import nnx

from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.desync.config import SynchformerConfig
from avits_jax.verifiers.desync.params import build
from avits_jax.verifiers.desync.scores import MODES, score_clips
from avits_jax.verifiers.desync.sharding import RULES
from avits_jax.verifiers.failures import check_mode
from avits_jax.verifiers.stack import from_pass
from avits_jax.weights.network import Weights


def make(
    names: Sequence[str],
    config: SynchformerConfig,
    weights: Weights,
    *,
    fps: float,
    sample_rate: int,
    mode: str,
    candidate_batch: int | None,
) -> tuple[Verifier, ...]:
    """Make the verifiers of one pass.

    Args:
        names: "desync", "desync_smooth" or both.
        config: sizes of the network.
        weights: not needed: no text is read.
        fps: frames per second of the clips.
        sample_rate: Hz of their sound.
        mode: "default" or "bench".
        candidate_batch: clips worked on at once; None for one, whose segments (24 for
            8 s) are a batch of their own.

    Raises:
        ValueError: an unknown mode.
    """
    del weights
    shared = desync_pass(
        config,
        fps=fps,
        sample_rate=sample_rate,
        mode=mode,
        candidate_batch=candidate_batch or 1,
    )
    return tuple(
        from_pass(name, shared, name, lambda prompt: (), RULES) for name in names
    )


def desync_pass(
    config: SynchformerConfig,
    *,
    fps: float,
    sample_rate: int,
    mode: str = "default",
    candidate_batch: int = 1,
) -> SharedPass:
    """Make the pass that gives ``desync`` and ``desync_smooth``.

    Args:
        config: sizes of the network.
        fps: frames per second of the clips.
        sample_rate: Hz of their sound.
        mode: "default" or "bench".
        candidate_batch: clips worked on at once.

    Raises:
        ValueError: an unknown mode.
    """
    check_mode("DeSync", mode, MODES)
    graph, _ = build(config)

    def rewards(params: PyTree, media: Media, cond: PyTree) -> dict[str, Scores]:
        return score_clips(
            nnx.merge(graph, params),
            media,
            fps=fps,
            sample_rate=sample_rate,
            mode=mode,
            candidate_batch=candidate_batch,
        )

    return SharedPass("desync", rewards)
