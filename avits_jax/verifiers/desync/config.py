"""Sizes of Synchformer, and the clip that it reads."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides

FPS = 25
SAMPLE_RATE = 16_000
MAX_OFFSET = 2.0
"""Seconds; the classes are offsets evenly spaced from minus this to plus this."""


@dataclass(frozen=True)
class SynchformerConfig:
    """Sizes; the defaults are those of the published model.

    Attributes:
        width: of all states.
        image_size: pixels on a side of a frame.
        patch_size: pixels on a side of a patch.
        num_frames: frames of a segment.
        tubelet: frames of a video patch.
        video_depth: blocks of the video encoder.
        video_heads: its attention heads.
        video_hidden: hidden width of its MLPs.
        mel_bins: mel bands.
        mel_frames: spectrogram frames of a segment.
        mel_patch: bins and frames of an audio patch.
        mel_stride: bins and frames from one audio patch to the next.
        audio_depth: layers of the audio encoder.
        audio_heads: its attention heads.
        audio_hidden: hidden width of its MLPs.
        head_depth: blocks of the transformer that compares both.
        head_heads: its attention heads.
        head_hidden: hidden width of its MLPs.
        num_segments: segments that are compared at once.
        num_classes: offsets told apart.
    """

    width: int = 768
    image_size: int = 224
    patch_size: int = 16
    num_frames: int = 16
    tubelet: int = 2
    video_depth: int = 12
    video_heads: int = 12
    video_hidden: int = 3072
    mel_bins: int = 128
    mel_frames: int = 66
    mel_patch: int = 16
    mel_stride: int = 10
    audio_depth: int = 12
    audio_heads: int = 12
    audio_hidden: int = 3072
    head_depth: int = 3
    head_heads: int = 8
    head_hidden: int = 3072
    num_segments: int = 14
    num_classes: int = 21

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "video_heads", "width")
        check_divides(self, "audio_heads", "width")
        check_divides(self, "head_heads", "width")

    @property
    def patches(self) -> int:
        """Return how many patches a frame has."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def video_steps(self) -> int:
        """Return how many video features a segment has."""
        return self.num_frames // self.tubelet

    @property
    def mel_rows(self) -> int:
        """Return how many audio patches there are along frequency."""
        return (self.mel_bins - self.mel_patch) // self.mel_stride + 1

    @property
    def audio_steps(self) -> int:
        """Return how many audio features a segment has."""
        return (self.mel_frames - self.mel_patch) // self.mel_stride + 1


TINY = SynchformerConfig(
    width=8,
    image_size=16,
    patch_size=8,
    video_depth=1,
    video_heads=2,
    video_hidden=8,
    mel_bins=18,
    audio_depth=1,
    audio_heads=2,
    audio_hidden=8,
    head_depth=1,
    head_heads=2,
    head_hidden=8,
)
"""Reduced networks; segments and offsets are the published ones."""
