"""ImageBind's verifiers: agreement of sound, picture and text, from one pass.

All are cosines in [-1, 1] between embeddings of ImageBind-huge (Girdhar et al., "One
Embedding Space To Bind Them All", arXiv 2305.05665; facebookresearch/ImageBind), higher
is better:

- ``javis_score``: JavisScore of JavisDiT (arXiv 2503.23377): in windows of 2 s every
  0.5 s, the mean of the lowest 40 % of cosines between a frame and the window's sound;
- ``avh_score``: mean cosine between each frame and the whole sound (TAVGBench);
- ``av_ib``: five clips of the video, each in three crops, against the whole sound;
- ``ta_ib``: text against the whole sound;
- ``tv_ib``: text against the same clips of the video.

Modes, see `modes` for their faults one by one:

- ``default``: the clip as it is: its own rates, all frames at their aspect, all
  channels mixed, sound from the first to the last sample, long texts with an end token;
- ``bench``: JavisBench's published numbers;
- ``its``: what the paper's search server computed.

Everything is embedded once: frames that both JavisScore and AVHScore look at, windows
whose three clips are equal, and a window that is also a clip of the whole sound. The
original embeds frames twice and windows three times.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from avits_jax.networks.imagebind.config import ImageBindConfig
from avits_jax.networks.imagebind.params import build
from avits_jax.networks.imagebind.sharding import RULES
from avits_jax.text.clip_bpe import count_tokens, encode
from avits_jax.types import Media, PyTree, Scores, SharedPass, Verifier
from avits_jax.verifiers.failures import check_mode
from avits_jax.verifiers.imagebind.modes import MODES
from avits_jax.verifiers.imagebind.program import Reading, check_outputs, score_clips
from avits_jax.verifiers.stack import from_pass
from avits_jax.verifiers.texts import tell_of_cut
from avits_jax.weights.network import Weights


def make(
    names: Sequence[str],
    config: ImageBindConfig,
    weights: Weights,
    *,
    fps: float,
    sample_rate: int,
    mode: str,
    candidate_batch: int | None,
    frame_rate: float | None = None,
    share_frames: bool = False,
) -> tuple[Verifier, ...]:
    """Make the verifiers of one pass.

    Args:
        names: which scores, of `program.OUTPUTS`.
        config: sizes of the encoders.
        weights: where they come from; the tokenizer needs no file.
        fps: frames per second of the clips.
        sample_rate: Hz of their sound.
        mode: "default", "bench" or "its".
        candidate_batch: candidates worked on at once; None for as many as fill a batch
            of 64 frames.
        frame_rate: see `imagebind_pass`.
        share_frames: see `imagebind_pass`.

    Raises:
        ValueError: an unknown mode, or a number that is not positive.
    """
    shared = imagebind_pass(
        config,
        names,
        fps=fps,
        sample_rate=sample_rate,
        mode=mode,
        frame_rate=frame_rate,
        share_frames=share_frames,
        candidate_batch=candidate_batch,
    )
    tokenize = partial(
        _tokenize, length=config.context_length, keep_end=MODES[mode].keep_end
    )
    return tuple(from_pass(name, shared, name, tokenize, RULES) for name in names)


def _tokenize(text: str, length: int, keep_end: bool) -> Int[np.ndarray, " length"]:
    """Return the ids of a text; a `UserWarning` says that it is cut."""
    tell_of_cut("ImageBind", count_tokens(text), length)
    return encode(text, length, keep_end=keep_end)


def _join(ids: Mapping[str, Int[np.ndarray, " L"]]) -> Int[np.ndarray, "2 L"]:
    """Return the text that pictures are compared with, then that of the sound."""
    texts = list(ids.values())
    return np.stack([ids.get("tv_ib", texts[0]), ids.get("ta_ib", texts[0])])


def imagebind_pass(
    config: ImageBindConfig,
    outputs: Collection[str],
    *,
    fps: float,
    sample_rate: int,
    mode: str = "default",
    frame_rate: float | None = None,
    share_frames: bool = False,
    frame_batch: int = 64,
    candidate_batch: int | None = None,
) -> SharedPass:
    """Make the pass that gives some of ImageBind's scores.

    Only what `outputs` need is computed: ``ta_ib`` alone looks at no frame.

    Args:
        config: sizes of the encoders.
        outputs: which scores, of `program.OUTPUTS`.
        fps: frames per second of the clips.
        sample_rate: Hz of their sound.
        mode: "default", "bench" or "its".
        frame_rate: frames per second that ``javis_score`` and ``avh_score`` look at;
            None for all. A third of the frames is a third of the work; scores change.
        share_frames: ``av_ib`` and ``tv_ib`` use the mean of the frames' embeddings in
            place of 15 clips of their own. Scores change.
        frame_batch: frames, or clips of sound, that go through an encoder at once.
        candidate_batch: candidates whose frames are prepared and embedded at once; None
            for as many as fill a batch of frames.

    Raises:
        ValueError: an unknown mode or output, or a number that is not positive.

    Example:
        >>> shared = imagebind_pass(
        ...     config, ["javis_score"], fps=24, sample_rate=16_000, frame_rate=8)
    """
    check_mode("ImageBind", mode, tuple(MODES))
    numbers = {
        "fps": fps,
        "sample_rate": sample_rate,
        "frame_rate": frame_rate,
        "frame_batch": frame_batch,
        "candidate_batch": candidate_batch,
    }
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
    wanted = check_outputs(outputs)
    reading = Reading(
        fps,
        sample_rate,
        MODES[mode],
        frame_rate,
        share_frames,
        frame_batch,
        candidate_batch,
    )
    graph, _ = build(config)

    def rewards(
        params: PyTree, media: Media, cond: Int[Array, "*T L"]
    ) -> dict[str, Scores]:
        model = nnx.merge(graph, params)
        return score_clips(
            model, media, cond, config=config, reading=reading, outputs=wanted
        )

    return SharedPass("imagebind", rewards, _join)
