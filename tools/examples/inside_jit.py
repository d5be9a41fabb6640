"""`best_of_n` inside your own jitted function, for a batch of prompts at once.

python tools/examples/inside_jit.py
"""

import jax
import jax.numpy as jnp

import avits_jax as avits

PROMPTS = (
    "a red circle bounces twice with a bell",
    "a blue square hits the floor four times like a drum",
)

generator, params = avits.generators.load("mini", num_steps=8)
verifiers, vparams = avits.verifiers.load(["mini_tv", "mini_av"])
aggregator = avits.arw([1.0, 1.0], optimizer="closed_form")


@jax.jit
def brightest_winner(weights, key, conds):
    """Search for every prompt, then go on computing with the winners."""

    def one(key, cond):
        return avits.best_of_n(
            weights,
            key,
            cond,
            generator=generator,
            verifiers=verifiers,
            aggregator=aggregator,
            num_candidates=4,
        )

    keys = jax.random.split(key, len(PROMPTS))
    output = jax.vmap(one)(keys, conds)
    light = output.best.video.mean(axis=(1, 2, 3, 4))
    return output, jnp.argmax(light)


encoded = [avits.encode_prompt(prompt, generator, verifiers) for prompt in PROMPTS]
conds = jax.tree.map(lambda *leaves: jnp.stack(leaves), *encoded)
output, brightest = brightest_winner(
    avits.Params(params, vparams), jax.random.key(0), conds
)
print("chosen", output.best_index, "scores", output.scores.max(axis=1))
print("brightest winner:", PROMPTS[int(brightest)])
