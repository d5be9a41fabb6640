"""JavisDiT's spatio-temporal prior: a text's hints of where and when things happen.

ImageBind's text encoder, then a small encoder-decoder transformer with learned queries
whose outputs are the moments of the prior tokens (arXiv 2503.23377, section 3.3).

Upstream: JavisVerse/JavisDiT at b505b37, javisdit/models/prior_encoder/base_model.py
(STPriorExtractor) and javisdit/models/prior_encoder/stib.py (STIBPriorExtractor).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.networks.imagebind.config import ImageBindConfig
from avits_jax.networks.imagebind.modeling import TextEncoder
from avits_jax.nn.attention import attend
from avits_jax.nn.gaussian import Gaussian, split_moments
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.weights.config import check_divides

Sequence = Float[Array, "B L D"]
Memory = Float[Array, "B K D"]
_EPSILON = 1e-5


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of the prior encoder.

    Attributes:
        imagebind: only its text encoder is used.
        spatial_tokens: tokens of the spatial prior.
        temporal_tokens: tokens of the temporal prior.
        prior_width: numbers per prior token.
        width: of the encoder-decoder.
        heads: its attention heads.
        encoder_layers: its encoder layers.
        decoder_layers: its decoder layers.
        mlp_ratio: hidden width of its MLPs over ``width``.
    """

    imagebind: ImageBindConfig = ImageBindConfig()
    spatial_tokens: int = 32
    temporal_tokens: int = 32
    prior_width: int = 128
    width: int = 512
    heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 4
    mlp_ratio: int = 4

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        check_divides(self, "heads", "width")


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=_EPSILON, use_fast_variance=False, rngs=rngs)


class Attention(nnx.Module):
    """Attention whose query, key and value projections are one matrix."""

    def __init__(self, config: PriorConfig, *, rngs: nnx.Rngs):
        self.heads = config.heads
        self.projection = nnx.Linear(config.width, 3 * config.width, rngs=rngs)
        self.out = nnx.Linear(config.width, config.width, rngs=rngs)

    def __call__(self, x: Sequence, context: Memory | None = None) -> Sequence:
        """Attend to ``context``, or from ``x`` to itself."""
        context = x if context is None else context
        kernel = self.projection.kernel[...]
        bias = jnp.asarray(self.projection.bias)
        parts = zip(
            jnp.split(kernel, 3, axis=1),
            jnp.split(bias, 3),
            (x, context, context),
            strict=True,
        )
        query, key, value = (
            (source @ matrix + offset).reshape(*source.shape[:2], self.heads, -1)
            for matrix, offset, source in parts
        )
        return self.out(attend(query, key, value).reshape(x.shape))


class FeedForward(nnx.Module):
    """Two linear layers with an activation between them."""

    def __init__(
        self,
        config: PriorConfig,
        activation: Callable[[Array], Array],
        *,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        hidden = config.width * config.mlp_ratio
        self.up = nnx.Linear(config.width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, config.width, rngs=rngs)

    def __call__(self, x: Sequence) -> Sequence:
        return self.down(self.activation(self.up(x)))


class EncoderLayer(nnx.Module):
    """Pre-norm self-attention and MLP with tanh-approximated GELU."""

    def __init__(self, config: PriorConfig, *, rngs: nnx.Rngs):
        self.norm1 = _norm(config.width, rngs)
        self.attention = Attention(config, rngs=rngs)
        self.norm2 = _norm(config.width, rngs)
        self.mlp = FeedForward(config, jax.nn.gelu, rngs=rngs)

    def __call__(self, x: Sequence) -> Sequence:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class DecoderLayer(nnx.Module):
    """Pre-norm self-attention, attention to the encoded text, and MLP with ReLU.

    The original asks for GELU here as well, but copies the layer, and a copy of
    PyTorch's decoder layer falls back to ReLU. The weights were trained that way.
    """

    def __init__(self, config: PriorConfig, *, rngs: nnx.Rngs):
        self.norm1 = _norm(config.width, rngs)
        self.attention = Attention(config, rngs=rngs)
        self.norm2 = _norm(config.width, rngs)
        self.cross = Attention(config, rngs=rngs)
        self.norm3 = _norm(config.width, rngs)
        self.mlp = FeedForward(config, jax.nn.relu, rngs=rngs)

    def __call__(self, x: Sequence, memory: Memory) -> Sequence:
        x = x + self.attention(self.norm1(x))
        x = x + self.cross(self.norm2(x), memory)
        return x + self.mlp(self.norm3(x))


class PriorEncoder(nnx.Module):
    """Token ids of a text to the distribution of its prior tokens."""

    def __init__(self, config: PriorConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.width

        def queries(count: int) -> nnx.Param:
            return nnx.Param(jax.random.normal(rngs.params(), (count, width)))

        self.text = TextEncoder(config.imagebind, rngs=rngs)
        self.proj_in = nnx.Linear(config.imagebind.text.width, width, rngs=rngs)
        self.spatial_queries = queries(config.spatial_tokens)
        self.temporal_queries = queries(config.temporal_tokens)
        self.encoder = stack_layers(
            lambda rngs: EncoderLayer(config, rngs=rngs), config.encoder_layers, rngs
        )
        self.encoder_norm = _norm(width, rngs)
        self.decoder = stack_layers(
            lambda rngs: DecoderLayer(config, rngs=rngs), config.decoder_layers, rngs
        )
        self.decoder_norm = _norm(width, rngs)
        self.proj_out = nnx.Linear(width, 2 * config.prior_width, rngs=rngs)

    def moments(self, hidden: Sequence) -> Float[Array, "B N M"]:
        """Turn a text's hidden states into means and log-variances, ``[B, N, 2 D]``.

        Padding is not masked, as in the original.
        """
        memory = scan_layers(self.encoder, self.proj_in(hidden))
        memory = self.encoder_norm(memory)
        queries = jnp.concatenate(
            [self.spatial_queries[...], self.temporal_queries[...]]
        )
        x = jnp.broadcast_to(queries, (len(hidden), *queries.shape))
        x = scan_layers(self.decoder, x, lambda layer, x: layer(x, memory))
        return self.proj_out(self.decoder_norm(x))

    def __call__(self, ids: Int[Array, "B L"]) -> Gaussian:
        """Return the distribution of spatial, then temporal tokens of ImageBind ids."""
        return split_moments(self.moments(self.text.hidden(ids)))

    def split(
        self, tokens: Float[Array, "B N D"]
    ) -> tuple[Float[Array, "B Ns D"], Float[Array, "B Nt D"]]:
        """Split a draw into spatial and temporal tokens."""
        count = self.config.spatial_tokens
        return tokens[:, :count], tokens[:, count:]
