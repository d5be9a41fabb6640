"""Sizes of the audio-video transformer."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StreamConfig:
    """One of the two streams; the defaults are the picture's.

    Attributes:
        channels: of a token's latents and of its velocity.
        heads: attention heads.
        head_width: numbers in a head, an even one; ``heads`` of them are as wide as the
            stream, and so are text states.
        limits: largest position along every axis: seconds, then pixels.
    """

    channels: int = 128
    heads: int = 32
    head_width: int = 128
    limits: tuple[float, ...] = (20.0, 2048.0, 2048.0)

    def __post_init__(self) -> None:
        """Refuse heads that rotary positions cannot halve."""
        if self.head_width < 2 or self.head_width % 2:
            raise ValueError(f"head_width must be even, got {self.head_width}")

    @property
    def width(self) -> int:
        """Return the width of the stream."""
        return self.heads * self.head_width


@dataclass(frozen=True)
class TransformerConfig:
    """The transformer; the defaults are those of LTX-2.3 (22B), see `LTX_2_0`.

    Attributes:
        video: the picture's stream.
        audio: the sound's stream; attention between the streams has its heads.
        depth: blocks.
        caption_width: of the text states that the transformer itself brings to the
            widths of its streams; 0: they come with these widths.
        gated: whether heads are gated by what they are asked.
        text_modulated: whether the noise level modulates queries and keys of text.
        perturbed_block: the block whose self-attention a perturbed branch goes without.
        theta: ratio of the rotary positions' highest frequency to their lowest.
        time_scale: what noise levels in [0, 1] are multiplied by.
        gate_time_scale: the same for the gates between the streams.
        epsilon: of all norms.
    """

    video: StreamConfig = StreamConfig()
    audio: StreamConfig = StreamConfig(head_width=64, limits=(20.0,))
    depth: int = 48
    caption_width: int = 0
    gated: bool = True
    text_modulated: bool = True
    perturbed_block: int = 28
    theta: float = 10_000.0
    time_scale: float = 1000.0
    gate_time_scale: float = 1000.0
    epsilon: float = 1e-6


LTX_2_0 = replace(
    TransformerConfig(),
    caption_width=3840,
    gated=False,
    text_modulated=False,
    perturbed_block=29,
)
"""LTX-2 (19B)."""
