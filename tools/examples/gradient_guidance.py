"""Guide mini by the gradient of a verifier inside a search, and measure what it buys.

For eight prompts, the mean reward of all candidates of best-of-2 without guidance and
with it: of the verifier that guides, and of its judge, another network with the same
question that guides nothing.

python tools/examples/gradient_guidance.py
"""

from functools import partial

import jax
import jax.numpy as jnp

import avits_jax as avits

PROMPTS = (
    "a green triangle bounces three times with a wood sound",
    "a red circle bounces twice with a bell",
    "4 drum sounds a blue box drops",
    "the golden pyramid jumps twice and sounds like a drum",
    "a blue square hits the floor four times like a drum",
    "a red box falls once with a bell",
    "a green circle bounces twice with a wood sound",
    "a yellow triangle bounces three times with a bell",
)
NAMES = ("mini_tv", "mini_tv_judge")

generator, params = avits.generators.load("mini", num_steps=8)
verifiers, vparams = avits.verifiers.load(NAMES)
weights = avits.Params(params, vparams)
encoded = [avits.encode_prompt(prompt, generator, verifiers) for prompt in PROMPTS]
conds = jax.tree.map(lambda *leaves: jnp.stack(leaves), *encoded)
keys = jax.random.split(jax.random.key(0), len(PROMPTS))


def searched(scale):
    """Search for all prompts with the first verifier as the guide."""
    search = partial(
        avits.best_of_n,
        generator=avits.guide_by_gradient(generator, verifiers[:1], scale),
        verifiers=verifiers,
        aggregator=avits.weighted([1.0, 0.0]),
        num_candidates=2,
    )

    # Shared in here, the weights of the guide that also scores are passed once.
    def one(weights, key, cond):
        weights, cond = (avits.share_with_guides(each, [0]) for each in (weights, cond))
        return search(weights, key, cond)

    return jax.jit(jax.vmap(one, (None, 0, 0)))(weights, keys, conds)


print("scale", *(f"{name:>15}" for name in NAMES), "evaluations", "decodes", sep="  ")
for scale in (0.0, 0.2):
    output = searched(scale)
    means = output.rewards.mean(axis=(0, 1))
    costs = f"{output.nfe[0]:11}  {output.decodes[0]:7}"
    print(f"{scale:5.2f}", *(f"{mean:15.3f}" for mean in means), costs, sep="  ")
