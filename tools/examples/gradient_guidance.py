"""Differentiate a verifier through the decoder, and steer a sample with the gradient.

python tools/examples/gradient_guidance.py
"""

import jax
import jax.numpy as jnp

import avits_jax as avits
from avits_jax.sampling import step_keys

generator, params = avits.generators.load("mini", num_steps=12)
(verifier,), (vparams,) = avits.verifiers.load(["mini_tv"])
prompt = "a green triangle bounces three times with a wood sound"
cond = avits.encode_prompt(prompt, generator, (verifier,))


def reward(latents, weights):
    """Sum of the verifier's scores of clean latents: decode, then judge."""
    media = generator.decode(weights.generator, avits.Candidates(latents))
    return verifier.score(weights.verifiers[0], media, cond.verifiers[0]).sum()


@jax.jit
def guided(weights, key, strength):
    """Denoise four candidates; each step first climbs the gradient of the reward."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(4))
    candidates = generator.init(weights.generator, keys, cond.generator)

    def body(candidates, i):
        def expected(latents):
            moved = candidates._replace(latents=latents)
            clean = generator.predict(weights.generator, moved, i, cond.generator)
            return reward(clean, weights)

        slope = jax.grad(expected)(candidates.latents)
        latents = jax.tree.map(lambda z, g: z + strength * g, candidates.latents, slope)
        candidates = candidates._replace(latents=latents)
        now = step_keys(keys, i)
        return generator.step(
            weights.generator, now, candidates, i, cond.generator
        ), None

    candidates, _ = jax.lax.scan(body, candidates, jnp.arange(generator.num_steps))
    return reward(candidates.latents, weights) / 4


weights = avits.Params(params, (vparams,))
plain, steered = (guided(weights, jax.random.key(0), s) for s in (0.0, 0.5))
print(f"mean reward {plain:.3f} without guidance, {steered:.3f} with it")
