"""ARW alone, as the reward normaliser of somebody's training loop, under `lax.scan`.

python tools/examples/reward_normaliser.py
"""

import jax
import jax.numpy as jnp

import avits_jax as avits

SCALES = jnp.array([100.0, 1.0, 0.01])  # three rewards on very different scales
arw = avits.arw([1.0, 1.0, 1.0], optimizer="closed_form")


@jax.jit
def train(key):
    """Two hundred batches of rewards; returns the learned scales."""

    def iteration(state, key):
        rewards = SCALES * (2.0 + jax.random.normal(key, (32, 3)))
        advantage, state = arw.update(rewards, state)
        # ... a policy-gradient step on `advantage` [32] would go here ...
        return state, advantage.std()

    state, spread = jax.lax.scan(iteration, arw.init(3), jax.random.split(key, 200))
    return avits.sigmas(state), spread


scales, spread = train(jax.random.key(0))
print("learned scales", scales, "true", SCALES)
print("spread of the normalised reward, first and last:", spread[0], spread[-1])
