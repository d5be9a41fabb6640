"""From all of a language model's states to features, one state after another.

There are 49 states of 3840 numbers for each of 1024 tokens. Each is normalised by
itself, so that its share of the projection can be added as soon as it is known and
none need be kept; sums are float32. The originals flatten all of them, the index of the
state fastest, and apply one matrix.

Upstream: huggingface/diffusers, src/diffusers/pipelines/ltx2/connectors.py
(per_layer_masked_mean_norm, per_token_rms_norm, LTX2TextConnectors), which normalises
in the states' dtype; here it is float32.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.text.config import TextConfig
from avits_jax.nn.linear import linear
from avits_jax.nn.stacking import stack_layers
from avits_jax.nn.vectors import rms_normalise

Sums = dict[str, Float[Array, "B L _"]]

_PROMPT_SCALE = 8.0


def normalise_prompt(
    x: Float[Array, "B L D"], mask: Bool[Array, "B L"], epsilon: float
) -> Float[Array, "B L D"]:
    """Bring each prompt's numbers to mean 0 and range 8; float32. LTX-2.0's way.

    Mean, least and greatest number are those of all tokens where ``mask`` is True.
    """
    x, seen = x.astype(jnp.float32), mask[..., None]
    mean = jnp.mean(x, (1, 2), keepdims=True, where=seen)
    low = jnp.min(x, (1, 2), keepdims=True, where=seen, initial=jnp.inf)
    high = jnp.max(x, (1, 2), keepdims=True, where=seen, initial=-jnp.inf)
    return _PROMPT_SCALE * (x - mean) / (high - low + epsilon)


class Projections(nnx.Module):
    """What one state gives to the features; the last one adds the biases."""

    def __init__(self, config: TextConfig, *, use_bias: bool = False, rngs: nnx.Rngs):
        for name, width in config.connectors.projections.items():
            made = linear(
                config.gemma.hidden_size,
                width,
                use_bias=use_bias,
                result=jnp.float32,
                rngs=rngs,
            )
            setattr(self, name, made)


class FeatureExtractor(nnx.Module):
    """Normalises states and projects them for the connectors.

    Projections of all states but the last are stacked, to be scanned beside the layers
    that the states enter.
    """

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.layers = stack_layers(
            lambda r: Projections(config, rngs=r), config.gemma.num_hidden_layers, rngs
        )
        use_bias = not config.connectors.shared
        self.last = Projections(config, use_bias=use_bias, rngs=rngs)

    def start(self, batch: int, length: int) -> Sums:
        """Return the sums before the first state."""
        widths = self.config.connectors.projections
        return {name: jnp.zeros((batch, length, w)) for name, w in widths.items()}

    def add(
        self,
        sums: Sums,
        state: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        projections: Projections,
    ) -> Sums:
        """Add one state's share; padding, where ``mask`` is False, gives nothing."""
        config = self.config.connectors
        if config.shared:
            x = normalise_prompt(state, mask, config.epsilon)
        else:
            x = rms_normalise(state, config.epsilon)
        x = jnp.where(mask[..., None], x, 0.0)
        out = {}
        for name, width in config.projections.items():
            scale = 1.0 if config.shared else (width / state.shape[-1]) ** 0.5
            own = (x * scale).astype(state.dtype)
            out[name] = sums[name] + getattr(projections, name)(own)
        return out

    def finish(
        self, sums: Sums, last: Float[Array, "B L D"], mask: Bool[Array, "B L"]
    ) -> Streams:
        """Add the last state's share; return features in the dtype of the states."""
        done = self.add(sums, last, mask, self.last)
        cast = {name: x.astype(last.dtype) for name, x in done.items()}
        if self.config.connectors.shared:
            return Streams(cast["shared"], cast["shared"])
        return Streams(cast["video"], cast["audio"])
