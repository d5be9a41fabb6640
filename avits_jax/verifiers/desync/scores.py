"""From Synchformer's logits to seconds of offset.

Upstream: JavisVerse/JavisDiT at b505b37, eval/javisbench/src/metrics.py
(calc_desync_score), after hkchengrex/av-benchmark. The smooth form is ours.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.nn.pictures import to_levels
from avits_jax.nn.resample import resample
from avits_jax.sampling.chunks import in_batches
from avits_jax.types import Media
from avits_jax.verifiers.desync.config import FPS, MAX_OFFSET, SAMPLE_RATE
from avits_jax.verifiers.desync.modeling import Synchformer
from avits_jax.verifiers.desync.preprocess import (
    FRAME_STEP,
    SAMPLE_STEP,
    SEGMENT_SAMPLES,
    audio_segments,
    constant_rate,
    fit_length,
    frame_segments,
    log_mel,
    prepare_frames,
    to_mono,
)
from avits_jax.verifiers.failures import (
    broken,
    check_frames,
    check_mode,
    check_sound,
    failed_as_nan,
)

MODES = ("default", "bench")
OUTPUTS = ("desync", "desync_smooth")
BENCH_SECONDS = 8


def segment_groups(num_segments: int, size: int) -> Int[np.ndarray, "G size"]:
    """Return a clip's segments in groups of ``size``, as the model compares them.

    Groups follow one another; a last one that would be short is moved back to end with
    the last segment, and shares some with the group before. Fewer segments than
    ``size`` are repeated from the start.
    """
    if num_segments < size:
        return (np.arange(size) % num_segments)[None].astype(np.int32)
    starts = list(range(0, num_segments - size + 1, size))
    if starts[-1] + size < num_segments:
        starts.append(num_segments - size)
    return (np.array(starts)[:, None] + np.arange(size)).astype(np.int32)


def offsets(num_classes: int) -> Float[np.ndarray, " C"]:
    """Return the offset in seconds that each class stands for, from -2 to 2."""
    return np.linspace(-MAX_OFFSET, MAX_OFFSET, num_classes, dtype=np.float32)


def desync_seconds(logits: Float[Array, "*B G C"]) -> Float[Array, "*B"]:
    """Return the published metric: mean over groups of the likeliest offset's size.

    In [0, 2] seconds, lower is better. A step function of the clip.
    """
    sizes = jnp.abs(jnp.asarray(offsets(logits.shape[-1])))
    return jnp.mean(sizes[jnp.argmax(logits, -1)], -1)


def expected_desync(
    logits: Float[Array, "*B G C"], temperature: float = 1.0
) -> Float[Array, "*B"]:
    """Return the offset's size that the probabilities expect: smooth, for search.

    Differentiable, in (0, 2) seconds, lower is better. As ``temperature`` falls to 0 it
    becomes `desync_seconds`.
    """
    sizes = jnp.abs(jnp.asarray(offsets(logits.shape[-1])))
    chances = jax.nn.softmax(logits.astype(jnp.float32) / temperature, -1)
    return jnp.mean(jnp.sum(chances * sizes, -1), -1)


def clip_lengths(
    num_frames: int, num_samples: int, segment_frames: int, mode: str
) -> tuple[int, int]:
    """Return frames at 25 per second and samples at 16 kHz that are read of a clip.

    Args:
        num_frames: frames that the clip has at that rate.
        num_samples: samples that it has.
        segment_frames: frames of a segment.
        mode: ``bench`` reads 8 s; ``default`` as many whole segments as the longer of
            picture and sound fills, and at least one.
    """
    if mode == "bench":
        return BENCH_SECONDS * FPS, BENCH_SECONDS * SAMPLE_RATE
    spare_frames = max(num_frames - segment_frames, 0)
    spare_samples = max(num_samples - SEGMENT_SAMPLES, 0)
    steps = max(spare_frames // FRAME_STEP, spare_samples // SAMPLE_STEP)
    return segment_frames + steps * FRAME_STEP, SEGMENT_SAMPLES + steps * SAMPLE_STEP


def clip_logits(
    model: Synchformer,
    media: Media,
    *,
    fps: float,
    sample_rate: int,
    mode: str = "default",
    candidate_batch: int = 1,
) -> Float[Array, "N G C"]:
    """Return logits of the offset for every group of segments of each clip.

    Every segment goes through its encoder once, however many groups share it. All of a
    clip's logits are NaN where its video holds NaN or infinity, in whichever frame.

    Args:
        model: network with its weights.
        media: clips; several channels of sound are averaged.
        fps: frames per second of the clips.
        sample_rate: Hz of their sound.
        mode: ``default`` reads the whole clip and no more; ``bench`` (JavisBench) its
            first 8 s, and fills a shorter one with black and silence, so that a clip of
            4 s is judged on an input that is half empty.
        candidate_batch: clips worked on at once.

    Raises:
        ValueError: unknown mode, fewer than two frames, or no sound.
    """
    check_mode("DeSync", mode, MODES)
    check_frames(OUTPUTS, media, 2)
    check_sound(OUTPUTS, media, sample_rate)
    config = model.config
    index = constant_rate(media.video.shape[1], fps)
    sound = to_mono(media.audio.astype(jnp.float32))
    sound = resample(sound, sample_rate, SAMPLE_RATE)
    frames, samples = clip_lengths(len(index), sound.shape[1], config.num_frames, mode)

    def see(video):
        levels = to_levels(video[:, index[:frames]].astype(jnp.float32))
        squares = prepare_frames(fit_length(levels, frames), config.image_size)
        features = model.video_features(frame_segments(squares, config.num_frames))
        return failed_as_nan(features, broken(video))

    def hear(sound):
        segments = audio_segments(fit_length(sound, samples))
        return model.audio_features(
            log_mel(segments, config.mel_bins, config.mel_frames)
        )

    video = in_batches(see, media.video, candidate_batch)
    audio = in_batches(hear, sound, candidate_batch)
    groups = segment_groups(video.shape[1], config.num_segments)
    pairs = [
        x[:, groups].reshape(-1, *groups.shape[1:], *x.shape[2:])
        for x in (video, audio)
    ]
    return model.compare(*pairs).reshape(len(video), len(groups), -1)


def score_clips(
    model: Synchformer,
    media: Media,
    *,
    fps: float,
    sample_rate: int,
    mode: str = "default",
    candidate_batch: int = 1,
) -> dict[str, Float[Array, " N"]]:
    """Return rewards of clips, higher is better; arguments as for `clip_logits`.

    Returns:
        ``desync``: minus the published metric, in [-2, 0]; ``desync_smooth``: minus the
        expected offset, for search. (The original mixes up the clips of a batch where
        they have several groups; here each keeps its own.)
    """
    logits = clip_logits(
        model,
        media,
        fps=fps,
        sample_rate=sample_rate,
        mode=mode,
        candidate_batch=candidate_batch,
    )
    failed = broken(logits), broken(media.audio)
    rewards = {
        "desync": -desync_seconds(logits),
        "desync_smooth": -expected_desync(logits),
    }
    return {name: failed_as_nan(x, *failed) for name, x in rewards.items()}
