"""LTX-2's text encoder: from token ids to the contexts of picture and sound.

Upstream: huggingface/diffusers, src/diffusers/pipelines/ltx2/connectors.py
(LTX2TextConnectors) and pipeline_ltx2.py (LTX2Pipeline.encode_prompt), which stacks all
hidden states; here each is used as soon as it is known.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.text.config import TextConfig
from avits_jax.generators.ltx2.text.connectors import Connector
from avits_jax.generators.ltx2.text.features import FeatureExtractor
from avits_jax.networks.gemma3.modeling import Gemma3
from avits_jax.nn.stacking import scan_layers


class Connectors(nnx.Module):
    """Feature extractor and both connectors: what LTX-2 adds to its language model."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.extractor = FeatureExtractor(config, rngs=rngs)
        self.video, self.audio = (
            Connector(config.connectors, heads, rngs=rngs)
            for heads in (config.connectors.video, config.connectors.audio)
        )

    def features(
        self, states: Float[Array, "S B L D"], mask: Bool[Array, "B L"]
    ) -> Streams:
        """Return features of states that are all at hand.

        Args:
            states: the embedding, what leaves each layer, the last one normalised.
            mask: False at padding.
        """
        extractor = self.extractor

        def add(projections, carry):
            sums, index = carry
            return extractor.add(sums, states[index], mask, projections), index + 1

        carry = (extractor.start(*mask.shape), jnp.int32(0))
        sums, _ = scan_layers(extractor.layers, carry, add)
        return extractor.finish(sums, states[-1], mask)

    def contexts(self, features: Streams, mask: Bool[Array, "B L"]) -> Streams:
        """Return contexts from features, padding replaced by registers."""
        return Streams(
            self.video(features.video, mask), self.audio(features.audio, mask)
        )


class TextEncoder(nnx.Module):
    """Gemma-3 and what turns all its hidden states into contexts."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.gemma = Gemma3(config.gemma, rngs=rngs)
        self.connectors = Connectors(config, rngs=rngs)

    def __call__(self, ids: Int[Array, "P L"], lengths: Int[Array, " P"]) -> Streams:
        """Return the contexts of prompts, ``[P, L, D]`` each, in the weights' dtype.

        Nothing in them is padding: the transformer looks at all tokens.

        Args:
            ids: int32 token ids, padded at the START of each row.
            lengths: int32 tokens of each row, at least 1.
        """
        mask = jnp.arange(ids.shape[1]) >= ids.shape[1] - lengths[:, None]
        extractor = self.connectors.extractor

        def add(sums, state, projections):
            return extractor.add(sums, state, mask, projections)

        start = extractor.start(*ids.shape)
        sums, last = self.gemma.fold(ids, mask, add, start, extractor.layers)
        return self.connectors.contexts(extractor.finish(sums, last, mask), mask)
