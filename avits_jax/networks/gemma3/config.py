"""Sizes of Gemma-3's text model."""

from dataclasses import dataclass

from avits_jax.weights.config import check_divides


@dataclass(frozen=True)
class Gemma3Config:
    """Sizes of a Gemma-3 text model; the defaults are those of the 12B.

    Attributes:
        vocab_size: rows of the embedding.
        hidden_size: width of the residual stream.
        intermediate_size: hidden width of the feed-forward layers.
        num_hidden_layers: layers; there is one hidden state more.
        num_attention_heads: query heads; with ``head_dim`` they need not add up to
            ``hidden_size``.
        num_key_value_heads: key and value heads.
        head_dim: features of a head.
        query_pre_attn_scalar: attention's logits are divided by its square root.
        full_attention: True for layers that see all tokens before, False for those that
            see a window of them; repeated until all layers have one.
        sliding_window: tokens in that window, the own one included.
        rope_theta: base of the rotary positions in layers that see all tokens.
        rope_factor: by which their positions are divided.
        local_rope_theta: base of the rotary positions in the other layers.
        epsilon: of the RMS norms.
    """

    vocab_size: int = 262_208
    hidden_size: int = 3840
    intermediate_size: int = 15_360
    num_hidden_layers: int = 48
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 256
    query_pre_attn_scalar: int = 256
    full_attention: tuple[bool, ...] = (False, False, False, False, False, True)
    sliding_window: int = 1024
    rope_theta: float = 1e6
    rope_factor: float = 8.0
    local_rope_theta: float = 1e4
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "num_key_value_heads", "num_attention_heads")

    @property
    def num_states(self) -> int:
        """Return how many hidden states there are, the embedding included."""
        return self.num_hidden_layers + 1

    @property
    def is_full(self) -> tuple[bool, ...]:
        """Return for each layer whether it sees all tokens before."""
        pattern = self.full_attention
        return tuple(pattern[i % len(pattern)] for i in range(self.num_hidden_layers))


TINY = Gemma3Config(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
    query_pre_attn_scalar=8,
    full_attention=(False, False, True),
    sliding_window=8,
)
"""Reduced sizes."""
