"""Windows that do not divide a map."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.verifiers.clap.audio_encoder import SwinBlock


def test_a_map_is_filled_up_to_whole_windows():
    graph, state = nnx.split(SwinBlock(8, 2, 4, 2.0, rngs=nnx.Rngs(0)))

    @jax.jit
    def run(state, x):
        block = nnx.merge(graph, state)
        # The corner's window holds 2 x 2 patches and zeros, which it sees as well.
        corner = x[:, 4:, 4:]
        inside = jnp.pad(block.norm1(corner), ((0, 0), (0, 2), (0, 2), (0, 0)))
        mixed = block.attention(inside.reshape(1, 16, 8), None).reshape(1, 4, 4, 8)
        corner = corner + mixed[:, :2, :2]
        hidden = jax.nn.gelu(block.up(block.norm2(corner)), approximate=False)
        return block(x, 0), corner + block.down(hidden)

    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 8))
    out, corner = run(state, x)
    assert out.shape == x.shape
    np.testing.assert_allclose(out[:, 4:, 4:], corner, atol=1e-5)
