"""VideoReward: a Qwen2-VL that is read at three reward tokens inside its prompt.

Liu et al., "Improving Video Generation with Human Feedback", arXiv 2501.13918
(VideoAlign), on Wang et al., "Qwen2-VL", arXiv 2409.12191. One thing differs from
Qwen2-VL on purpose: positions are plain 0 ... L - 1 in all rotary sections, not
three-dimensional, since that is how VideoReward was trained and is run.

Upstream: KwaiVGI/VideoAlign, trainer.py (Qwen2VLRewardModelBT), on
huggingface/transformers, src/transformers/models/qwen2_vl/modeling_qwen2_vl.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from avits_jax.nn.activations import quick_gelu
from avits_jax.nn.attention import attend
from avits_jax.nn.embedding import Embedding
from avits_jax.nn.rotary import rotary_frequencies, rotate
from avits_jax.nn.stacking import scan_layers, stack_layers
from avits_jax.verifiers.video_reward.config import VideoRewardConfig, VisionConfig


def patch_angles(
    config: VisionConfig, rows: int, columns: int
) -> Float[np.ndarray, "P A"]:
    """Return rotary angles of one frame pair's patches, in merge order.

    The first half of a head's frequencies turns with the row, the second with the
    column.
    """
    merge = config.merge_size
    grid = np.indices((rows, columns)).reshape(
        2, rows // merge, merge, columns // merge, merge
    )
    places = grid.transpose(1, 3, 2, 4, 0).reshape(-1, 2)
    width = config.width // config.num_heads // 2
    angles = places[..., None] * rotary_frequencies(width, config.rope_theta)
    return angles.reshape(len(places), -1).astype(np.float32)


class VisionBlock(nnx.Module):
    """Pre-norm transformer block of the vision encoder."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        width, hidden = config.width, config.width * config.mlp_ratio
        self.heads = config.num_heads
        self.norm1 = nnx.LayerNorm(width, epsilon=config.epsilon, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=config.epsilon, rngs=rngs)
        self.fc1 = nnx.Linear(width, hidden, rngs=rngs)
        self.fc2 = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B P D"], angles: Float[np.ndarray, "P d"]
    ) -> Float[Array, "B P D"]:
        """Attend among the patches of one frame pair, then apply the MLP."""
        shape = (*x.shape[:2], 3, self.heads, -1)
        query, key, value = jnp.moveaxis(self.qkv(self.norm1(x)).reshape(shape), 2, 0)
        out = attend(rotate(query, angles), rotate(key, angles), value)
        x = x + self.out(out.reshape(x.shape))
        return x + self.fc2(quick_gelu(self.fc1(self.norm2(x))))


class VisionEncoder(nnx.Module):
    """Patches of frame pairs to tokens of the language model."""

    def __init__(self, config: VisionConfig, outputs: int, *, rngs: nnx.Rngs):
        self.config = config
        merged = config.width * config.merge_size**2
        self.embed = nnx.Linear(
            config.patch_values, config.width, use_bias=False, rngs=rngs
        )
        self.blocks = stack_layers(
            lambda r: VisionBlock(config, rngs=r), config.depth, rngs
        )
        self.norm = nnx.LayerNorm(config.width, epsilon=config.epsilon, rngs=rngs)
        self.fc1 = nnx.Linear(merged, merged, rngs=rngs)
        self.fc2 = nnx.Linear(merged, outputs, rngs=rngs)

    def hidden(
        self, patches: Float[Array, "B T P K"], rows: int, columns: int
    ) -> Float[Array, "B T P D"]:
        """Return states of the patches after the last block.

        Args:
            patches: T frame pairs of ``rows * columns`` patches each, in merge order.
            rows: patches from top to bottom.
            columns: patches from left to right.
        """
        angles = patch_angles(self.config, rows, columns)
        x = self.embed(patches.astype(self.embed.kernel.dtype))
        pairs = x.reshape(-1, *x.shape[2:])
        pairs = scan_layers(self.blocks, pairs, lambda block, x: block(x, angles))
        return pairs.reshape(x.shape)

    def merge(self, hidden: Float[Array, "B T P D"]) -> Float[Array, "B M E"]:
        """Join patches that lie together into one token each, all pairs in a row."""
        x = self.norm(hidden).reshape(len(hidden), -1, self.fc1.in_features)
        return self.fc2(jax.nn.gelu(self.fc1(x), approximate=False))

    def __call__(
        self, patches: Float[Array, "B T P K"], rows: int, columns: int
    ) -> Float[Array, "B M E"]:
        """Return M = T * P / merge_size ** 2 tokens; see `hidden`."""
        return self.merge(self.hidden(patches, rows, columns))


class LanguageLayer(nnx.Module):
    """Pre-norm causal attention with grouped heads, and SwiGLU."""

    def __init__(self, config: VideoRewardConfig, *, rngs: nnx.Rngs):
        width, hidden = config.hidden_size, config.intermediate_size
        size = width // config.num_attention_heads
        self.size = size
        shared = size * config.num_key_value_heads
        self.norm1 = nnx.RMSNorm(width, epsilon=config.epsilon, rngs=rngs)
        self.q = nnx.Linear(width, width, rngs=rngs)
        self.k = nnx.Linear(width, shared, rngs=rngs)
        self.v = nnx.Linear(width, shared, rngs=rngs)
        self.o = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.norm2 = nnx.RMSNorm(width, epsilon=config.epsilon, rngs=rngs)
        self.gate = nnx.Linear(width, hidden, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(width, hidden, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(hidden, width, use_bias=False, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B L D"], angles: Float[np.ndarray, "L d"]
    ) -> Float[Array, "B L D"]:
        """Let each position look back, then apply the MLP."""
        y = self.norm1(x)
        shape = (*x.shape[:2], -1, self.size)
        query, key, value = (f(y).reshape(shape) for f in (self.q, self.k, self.v))
        query, key = rotate(query, angles), rotate(key, angles)
        out = attend(query, key, value, causal=True)
        x = x + self.o(out.reshape(x.shape))
        y = self.norm2(x)
        return x + self.down(jax.nn.silu(self.gate(y)) * self.up(y))


class VideoReward(nnx.Module):
    """Vision encoder, language model and reward head."""

    def __init__(self, config: VideoRewardConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.hidden_size
        self.vision = VisionEncoder(config.vision, width, rngs=rngs)
        self.embed = Embedding(config.vocab_size, width, rngs=rngs)
        self.layers = stack_layers(
            lambda r: LanguageLayer(config, rngs=r), config.num_hidden_layers, rngs
        )
        self.norm = nnx.RMSNorm(width, epsilon=config.epsilon, rngs=rngs)
        self.head = nnx.Linear(width, 1, use_bias=False, rngs=rngs)

    def hidden(
        self, ids: Int[Array, "B L"], video: Float[Array, "B M D"]
    ) -> Float[Array, "B L D"]:
        """Return normalised states of a prompt, the video in place of its tokens.

        Causal, so that padding at the end changes nothing before it.

        Args:
            ids: prompts, with one video token for every row of ``video`` that is used.
            video: what the vision encoder gave.
        """
        here = ids == self.config.video_token
        row = jnp.clip(jnp.cumsum(here, 1) - 1, 0, video.shape[1] - 1)
        seen = jnp.take_along_axis(video, row[..., None], 1)
        text = self.embed(ids)
        x = jnp.where(here[..., None], seen.astype(text.dtype), text)
        width = self.config.hidden_size // self.config.num_attention_heads
        frequencies = rotary_frequencies(width, self.config.rope_theta)
        angles = np.arange(ids.shape[1], dtype=np.float32)[:, None] * frequencies
        x = scan_layers(self.layers, x, lambda layer, x: layer(x, angles))
        return self.norm(x)

    def read(
        self, hidden: Float[Array, "B L D"], ids: Int[Array, "B L"]
    ) -> Float[Array, "B 3"]:
        """Return raw rewards VQ, MQ, TA: the head at each reward token.

        NaN where a prompt lacks a reward token.
        """
        tokens = jnp.asarray(self.config.reward_tokens)
        found = ids[:, None] == tokens[:, None]
        at = jnp.argmax(found, 2)
        states = jnp.take_along_axis(hidden, at[..., None], 1)
        rewards = self.head(states.astype(jnp.float32))[..., 0]
        return jnp.where(jnp.any(found, 2), rewards, jnp.nan)

    def __call__(
        self,
        patches: Float[Array, "B T P K"],
        ids: Int[Array, "B L"],
        rows: int,
        columns: int,
    ) -> Float[Array, "B 3"]:
        """Return raw rewards VQ, MQ, TA of clips and prompts; see `VisionEncoder`."""
        return self.read(self.hidden(ids, self.vision(patches, rows, columns)), ids)
