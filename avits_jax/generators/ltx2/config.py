"""LTX-2's networks by name."""

from typing import Any, NamedTuple


class Networks(NamedTuple):
    """One entry per network: its sizes, static graph, shapes or parameters.

    Attributes:
        transformer: the audio-video transformer.
        text: Gemma-3 with feature extractor and connectors; ``()`` where texts come as
            states.
        video_decoder: latents to frames.
        audio_decoder: latents to a spectrogram.
        vocoder: spectrogram to sound.
        video_encoder: pictures to latents; ``()`` where none is given.
        audio_encoder: sound to latents; ``()`` where none is given.
        upsampler: of latents, before the second stage; ``()`` without one.
        preview: a small decoder for clips on the way; ``()`` without one.
    """

    transformer: Any
    text: Any
    video_decoder: Any
    audio_decoder: Any
    vocoder: Any
    video_encoder: Any = ()
    audio_encoder: Any = ()
    upsampler: Any = ()
    preview: Any = ()
