"""Log-mel pictures for ImageBind's audio encoder, in-graph.

A picture is made of one clip of 2 s whose mean, over all channels, has been removed;
only the first channel is heard. The original removes the mean in place on views of the
waveform, so that clips which overlap hear each other's shift: ``in_place=True`` repeats
that fault (modes ``bench`` and ``its``), the default cuts copies.

Upstream: facebookresearch/ImageBind, imagebind/data.py (waveform2melspec,
load_and_transform_audio_data).
"""

from collections.abc import Sequence
from fractions import Fraction

import jax.numpy as jnp
from jaxtyping import Array, Float

from avits_jax.nn.fbank import kaldi_fbank
from avits_jax.verifiers.timing import clip_starts

SAMPLE_RATE = 16_000
CLIP_SECONDS = 2
NUM_CLIPS = 3
FRAME_SECONDS = 0.025  # of the spectrogram: a shorter sound has none
INT16 = 32_768.0
_MEL_MEAN, _MEL_STD = -4.268, 9.138

Spans = Sequence[tuple[int, int]]


def bench_spans(num_samples: int) -> tuple[tuple[int, int], ...]:
    """Return samples of the benchmark's three 2 s clips; the end is never heard."""
    duration = Fraction(num_samples, SAMPLE_RATE)
    return tuple(
        (int(start * SAMPLE_RATE), int((start + CLIP_SECONDS) * SAMPLE_RATE))
        for start in clip_starts(duration, CLIP_SECONDS, NUM_CLIPS)
    )


def full_spans(num_samples: int) -> tuple[tuple[int, int], ...]:
    """Return samples of three 2 s clips that reach from the start to the very end."""
    spare = max(num_samples - CLIP_SECONDS * SAMPLE_RATE, 0)
    starts = (spare * clip // (NUM_CLIPS - 1) for clip in range(NUM_CLIPS))
    return tuple((start, start + CLIP_SECONDS * SAMPLE_RATE) for start in starts)


def remove_means(
    audio: Float[Array, "*B C S"], spans: Spans, in_place: bool = False
) -> tuple[list[Float[Array, "*B C s"]], Float[Array, "*B C S"]]:
    """Cut clips and remove each one's mean over channels and samples.

    Args:
        audio: waveforms at 16 kHz.
        spans: sample ranges; what lies beyond the end is left out.
        in_place: write each clip back before the next is cut.

    Returns:
        The clips, and the waveform as the last of them left it.
    """
    clips = []
    for start, stop in spans:
        clip = audio[..., start:stop]
        clip = clip - jnp.mean(clip, (-2, -1), keepdims=True)
        clips.append(clip)
        if in_place:
            audio = audio.at[..., start:stop].set(clip)
    return clips, audio


def mel_picture(
    clip: Float[Array, "*B C s"], num_mels: int, num_frames: int
) -> Float[Array, "*B num_mels num_frames"]:
    """Return the normalised log-mel picture of the first channel.

    Missing frames are filled with 0 before the normalisation, hence +0.467 after it;
    surplus frames are cut.
    """
    mel = kaldi_fbank(clip[..., 0, :], sample_rate=SAMPLE_RATE, num_mels=num_mels)
    mel = jnp.swapaxes(mel[..., :num_frames, :], -1, -2)
    missing = num_frames - mel.shape[-1]
    mel = jnp.pad(mel, [(0, 0)] * (mel.ndim - 1) + [(0, missing)])
    return (mel - _MEL_MEAN) / _MEL_STD


def mel_pictures(
    audio: Float[Array, "*B C S"],
    spans: Spans,
    num_mels: int,
    num_frames: int,
    *,
    in_place: bool = False,
) -> Float[Array, "*B K num_mels num_frames"]:
    """Return one picture per span of 16 kHz waveforms in [-1, 1]."""
    clips, _ = remove_means(audio, spans, in_place)
    pictures = [mel_picture(clip, num_mels, num_frames) for clip in clips]
    return jnp.stack(pictures, -3)


def its_picture(
    samples: Float[Array, "*B C S"], num_mels: int, num_frames: int
) -> Float[Array, "*B num_mels num_frames"]:
    """Return the search server's only picture: the first 2 s of 16-bit samples.

    A shorter wave is filled up with silence before its mean is removed. The server
    embeds three copies of this picture and averages them; one gives the same.
    """
    length = CLIP_SECONDS * SAMPLE_RATE
    clip = samples[..., :length] / INT16
    missing = length - clip.shape[-1]
    clip = jnp.pad(clip, [(0, 0)] * (clip.ndim - 1) + [(0, missing)])
    clip = clip - jnp.mean(clip, (-2, -1), keepdims=True)
    return mel_picture(clip, num_mels, num_frames)
