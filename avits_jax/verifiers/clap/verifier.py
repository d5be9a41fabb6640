"""CLAP's verifier: agreement of the prompt with the sound.

``clap`` is the cosine between the embeddings of a caption and of a sound (Wu et al.,
arXiv 2211.06687; laion/clap-htsat-unfused as transformers' ClapModel runs it), in
[-1, 1], for real pairs mostly 0 to 0.6; higher is better. Modes:

- ``default``: channels mixed, resampled to 48 kHz, repeated to 10 s, as the encoder was
  trained;
- ``bench``: JavisBench's, followed by silence in place of repetition, since an option
  meant for the tokenizer reaches the feature extractor;
- ``its``: the search server's: 16-bit samples at the clip's rate read as if they were
  scaled and at 48 kHz: 90 dB too loud, and at 16 kHz three times too fast and high.

A sound beyond 10 s is heard in its middle, where the original takes a random part.
"""

from collections.abc import Callable, Sequence

import numpy as np
from flax import nnx

from avits_jax.text import tokenizers
from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.clap import features
from avits_jax.verifiers.clap.config import ClapConfig, TextConfig
from avits_jax.verifiers.clap.params import build
from avits_jax.verifiers.clap.program import Wave, score_clips
from avits_jax.verifiers.clap.sharding import RULES
from avits_jax.verifiers.failures import check_mode
from avits_jax.verifiers.stack import from_pass
from avits_jax.verifiers.texts import tell_of_cut
from avits_jax.weights.network import Weights

WAVES: dict[str, Wave] = {
    "default": features.default_wave,
    "bench": features.bench_wave,
    "its": features.its_wave,
}
CANDIDATE_BATCH = 16
# Texts are filled up to whole steps, so that few lengths are ever compiled.
_TEXT_STEP = 32


def make(
    names: Sequence[str],
    config: ClapConfig,
    weights: Weights,
    *,
    fps: float,
    sample_rate: int,
    mode: str,
    candidate_batch: int | None,
) -> tuple[Verifier, ...]:
    """Make the verifier.

    Args:
        names: ``["clap"]``.
        config: sizes of the encoders.
        weights: the checkpoint, which holds the tokenizer's files as well; without one
            a dummy tokenizer makes ids up.
        fps: not needed.
        sample_rate: Hz of the sound.
        mode: "default", "bench" or "its".
        candidate_batch: candidates worked on at once; None for 16.

    Raises:
        ValueError: an unknown mode, or no tokenizer beside the checkpoint.
    """
    del fps
    shared = clap_pass(
        config,
        sample_rate=sample_rate,
        mode=mode,
        candidate_batch=candidate_batch or CANDIDATE_BATCH,
    )
    if weights.folder is None:
        tokenize = tokenizers.dummy("roberta", config.text.vocab_size)
    else:
        tokenize = tokenizers.load(weights.folder, "roberta")
    encode = text_encoder(tokenize, config.text)
    return tuple(from_pass(name, shared, name, encode, RULES) for name in names)


def clap_pass(
    config: ClapConfig,
    *,
    sample_rate: int,
    mode: str = "default",
    candidate_batch: int = CANDIDATE_BATCH,
) -> SharedPass:
    """Make the pass that gives ``clap``.

    Args:
        config: sizes of the encoders.
        sample_rate: Hz of the sound.
        mode: "default", "bench" or "its".
        candidate_batch: candidates worked on at once.

    Raises:
        ValueError: an unknown mode.
    """
    check_mode("CLAP", mode, tuple(WAVES))
    graph, _ = build(config)

    def rewards(params: PyTree, media: Media, cond: PyTree) -> dict[str, Scores]:
        ids, mask = cond
        score = score_clips(
            nnx.merge(graph, params),
            media,
            ids,
            mask,
            sample_rate=sample_rate,
            num_mels=config.audio.mel_bins,
            wave=WAVES[mode],
            candidate_batch=candidate_batch,
        )
        return {"clap": score}

    return SharedPass("clap", rewards)


def text_encoder(
    tokenize: Callable[[str], list[int]], config: TextConfig
) -> Callable[[str], tuple[np.ndarray, np.ndarray]]:
    """Return ``prompt -> (ids [L], mask [L])``; the mask is False on padding.

    A text with more tokens than there are positions (512) is cut, with a `UserWarning`,
    and keeps its end token. Padding up to a multiple of 32 is not looked at.
    """
    longest = config.max_positions - config.pad_id - 1

    def encode(prompt: str) -> tuple[np.ndarray, np.ndarray]:
        ids = tokenize(prompt)
        tell_of_cut("CLAP", len(ids), longest)
        if len(ids) > longest:
            ids = [*ids[: longest - 1], ids[-1]]
        length = -(-len(ids) // _TEXT_STEP) * _TEXT_STEP
        padded = np.full(length, config.pad_id, np.int32)
        padded[: len(ids)] = ids
        return padded, np.arange(length) < len(ids)

    return encode
