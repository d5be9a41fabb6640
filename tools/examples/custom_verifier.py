"""A verifier of your own: one of pure arithmetic, and one with weights.

python tools/examples/custom_verifier.py
"""

import jax
import jax.numpy as jnp

import avits_jax as avits


def loudness(params, media, cond):
    """Mean level of the sound in dB; any function of the clips will do."""
    power = jnp.mean(jnp.square(media.audio), axis=-1)
    return 10 * jnp.log10(power + 1e-8)


def taste(params, media, cond):
    """A linear model of the mean colour; its weights are an argument."""
    return media.video.mean(axis=(1, 2, 3)) @ params["color"] + params["bias"]


verifiers = (avits.Verifier("loudness", loudness), avits.Verifier("taste", taste))
vparams = ((), {"color": jnp.array([1.0, -0.5, -0.5]), "bias": jnp.float32(0.1)})

generator, params = avits.generators.load("mini", num_steps=8)
cond = avits.encode_prompt(
    "a red circle bounces with a bell once", generator, verifiers
)
output = jax.jit(
    lambda weights, key: avits.best_of_n(
        weights,
        key,
        cond,
        generator=generator,
        verifiers=verifiers,
        aggregator=avits.zscore_candidate([1.0, 1.0]),
        num_candidates=4,
    )
)(avits.Params(params, vparams), jax.random.key(0))
print("rewards", output.rewards)
print("chosen", int(output.best_index))
