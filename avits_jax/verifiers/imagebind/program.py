"""ImageBind's scores of a population from one pass through the encoders."""

from collections.abc import Collection
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.networks.imagebind.config import ImageBindConfig
from avits_jax.networks.imagebind.modeling import ImageBind
from avits_jax.types import Media, Scores
from avits_jax.verifiers.failures import check_frames, check_sound
from avits_jax.verifiers.imagebind import scores, sound
from avits_jax.verifiers.imagebind.frames import still_frames
from avits_jax.verifiers.imagebind.modes import DEFAULT, Mode
from avits_jax.verifiers.imagebind.passes import embed_sound, embed_video

OUTPUTS = ("javis_score", "avh_score", "av_ib", "ta_ib", "tv_ib")
_STILLS = {"javis_score", "avh_score"}
_CLIPS = {"av_ib", "tv_ib"}
_SOUND = {"javis_score", "avh_score", "av_ib", "ta_ib"}
_TEXT = {"ta_ib", "tv_ib"}


class Reading(NamedTuple):
    """How clips are read, and how much is worked on at once.

    Attributes:
        fps: frames per second of the video.
        sample_rate: Hz of the audio.
        mode: see `modes`.
        frame_rate: frames per second that JavisScore and AVHScore look at; None for
            all. Saves work, and changes scores.
        share_frames: take the mean of the single frames in place of the 15 short clips
            behind ``av_ib`` and ``tv_ib``. Saves work where ``javis_score`` or
            ``avh_score`` embeds the frames anyway, and changes scores.
        frame_batch: frames, or clips of sound, that go through an encoder at once.
        candidate_batch: candidates whose frames are worked on at once; None for as many
            as fill a batch of frames.
    """

    fps: float
    sample_rate: int
    mode: Mode = DEFAULT
    frame_rate: float | None = None
    share_frames: bool = False
    frame_batch: int = 64
    candidate_batch: int | None = None


def score_clips(
    model: ImageBind,
    media: Media,
    ids: Int[Array, "*T L"],
    *,
    config: ImageBindConfig,
    reading: Reading,
    outputs: Collection[str] = OUTPUTS,
) -> dict[str, Scores]:
    """Score every candidate against its own sound and one text.

    All scores are cosines in [-1, 1]; higher is better. Encoders that no output needs
    do not run.

    - ``javis_score``: each window's worst frames against its sound.
    - ``avh_score``: all frames against the whole sound.
    - ``av_ib``: short clips of the video against the whole sound.
    - ``ta_ib``: text against the whole sound.
    - ``tv_ib``: text against short clips of the video.

    Args:
        model: the encoders.
        media: video ``[N, F, H, W, 3]`` in [0, 1]; audio ``[N, S]`` or ``[N, C, S]`` in
            [-1, 1].
        ids: token ids ``[L]`` of the text, from `clip_bpe.encode`; or ``[2, L]``, of
            the text for pictures and of that for sound.
        config: sizes of the encoders.
        reading: how clips are read.
        outputs: which scores, of `OUTPUTS`.

    Returns:
        ``[N]`` float32 per output; NaN where what it looks at holds NaN or infinity.

    Raises:
        ValueError: an unknown output, or a clip without frames or with less than 25 ms
            of sound where an output needs them.
    """
    wanted = check_outputs(outputs)
    seeing = [name for name in wanted if name in _STILLS | _CLIPS]
    hearing = [name for name in wanted if name in _SOUND]
    if seeing:
        check_frames(seeing, media)
    if hearing:
        least = reading.mode.least_sound
        check_sound(hearing, media, reading.sample_rate, least)
    audio = _audio(media, reading) if hearing else media.audio
    stills, rate = _stills(media.video.shape[1], reading)
    spans: tuple[scores.Windows, scores.Windows] = (), ()
    if "javis_score" in wanted:
        spans = scores.javis_windows(
            len(stills), audio.shape[-1], rate, sound.SAMPLE_RATE
        )
    found: dict[str, Array] = {}
    if seeing:
        found |= _see(model, media, stills, config, reading, wanted)
    if hearing:
        found["whole"], found["windows"] = embed_sound(
            model,
            audio,
            spans[1],
            mode=reading.mode,
            config=config,
            batch=reading.frame_batch,
        )
    if _TEXT & set(wanted):
        found["text"] = model.text(ids.reshape(-1, ids.shape[-1]))
    return _scores(wanted, found, spans[0])


def check_outputs(outputs: Collection[str]) -> tuple[str, ...]:
    """Return the outputs, each once, in the order of `OUTPUTS`.

    Raises:
        ValueError: there is none, or an unknown one.
    """
    unknown = sorted(set(outputs) - set(OUTPUTS))
    if unknown or not outputs:
        raise ValueError(
            f"outputs must be some of {', '.join(OUTPUTS)}, got "
            f"{unknown[0] if unknown else 'none'}"
        )
    return tuple(name for name in OUTPUTS if name in outputs)


def _audio(media: Media, reading: Reading) -> Float[Array, "N C S"]:
    """Return the sound at 16 kHz, as the mode makes it."""
    audio = media.audio if media.audio.ndim == 3 else media.audio[:, None]
    return reading.mode.audio(audio.astype(jnp.float32), reading.sample_rate)


def _stills(num_frames: int, reading: Reading) -> tuple[np.ndarray, float]:
    """Return frames that are embedded alone, and how many of them make a second."""
    taken = reading.mode.fps or reading.fps
    wanted = reading.frame_rate
    if wanted is None or wanted >= reading.fps:
        return np.arange(num_frames), taken
    return still_frames(num_frames, reading.fps, wanted), taken * wanted / reading.fps


def _see(
    model: ImageBind,
    media: Media,
    stills: np.ndarray,
    config: ImageBindConfig,
    reading: Reading,
    wanted: Collection[str],
) -> dict[str, Array]:
    """Embed ``frames`` [N, S, E] and ``video`` [N, E], where they are needed."""
    clips = bool(_CLIPS & set(wanted))
    alone = bool(_STILLS & set(wanted)) or (clips and reading.share_frames)
    pairs = np.zeros((0, 2), int)
    if clips and not reading.share_frames:
        pairs = reading.mode.pairs(media.video.shape[1], reading.fps)
    frames, groups = embed_video(
        model,
        media.video,
        side=config.image_size,
        mode=reading.mode,
        stills=stills if alone else stills[:0],
        pairs=pairs,
        frame_batch=reading.frame_batch,
        candidate_batch=reading.candidate_batch,
    )
    video = groups if len(pairs) else frames
    return {"frames": frames} | ({"video": jnp.mean(video, 1)} if clips else {})


def _scores(
    wanted: Collection[str],
    found: dict[str, Array],
    windows: scores.Windows,
) -> dict[str, Scores]:
    """Return the scores of what was embedded."""
    compute = {
        # One frame at least: of the original's 40 % of two frames nothing is left.
        "javis_score": lambda: scores.javis_score(
            found["frames"], found["windows"], windows, scores.num_lowest(windows)
        ),
        "avh_score": lambda: scores.avh_score(found["frames"], found["whole"]),
        "av_ib": lambda: scores.cosine(found["video"], found["whole"]),
        "ta_ib": lambda: scores.cosine(found["text"][-1:], found["whole"]),
        "tv_ib": lambda: scores.cosine(found["text"][:1], found["video"]),
    }
    return {name: compute[name]() for name in wanted}
