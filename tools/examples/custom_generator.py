"""A generator of your own: three pure functions and a schedule.

This one knows its clean sample in closed form, so that nothing has to be trained; a
network takes the place of ``predict``. Every search then works with it.

    python tools/examples/custom_generator.py
"""

import jax
import jax.numpy as jnp

import avits_jax as avits
from avits_jax.sampling import euler, linear_sigmas, noise_like

SIGMAS = linear_sigmas(10)


def init(params, keys, cond):
    """Noise, each candidate from its own key: colour and pitch of a clip."""
    return avits.Candidates(noise_like(keys, jnp.zeros((len(keys), 4))))


def predict(params, candidates, i, cond):
    """The clean sample expected at step i."""
    return jnp.tanh(params["gain"] * candidates.latents + cond)


def decode(params, candidates):
    """Plain pictures and tones."""
    color, pitch = candidates.latents[:, :3], candidates.latents[:, 3:]
    video = jnp.broadcast_to(
        jax.nn.sigmoid(color)[:, None, None, None], (len(color), 8, 16, 16, 3)
    )
    time = jnp.arange(8000) / 8000
    return avits.Media(video, jnp.sin(2 * jnp.pi * 440 * (2 + pitch) * time))


generator = avits.Generator(
    init,
    euler(predict, SIGMAS),
    decode,
    predict,
    SIGMAS,
    fps=8.0,
    sample_rate=8000,
)
redness = avits.Verifier(
    "redness", lambda params, media, cond: media.video[..., 0].mean((1, 2, 3))
)
output = jax.jit(
    lambda params, key: avits.evosearch(
        avits.Params(params, ((),)),
        key,
        avits.Cond(jnp.float32(0.2), ((),)),
        generator=generator,
        verifiers=(redness,),
        aggregator=avits.weighted([1.0]),
        schedule=(0, 5),
        population_sizes=(6, 6, 6),
    )
)({"gain": jnp.float32(2.0)}, jax.random.key(0))
print(
    "best redness", float(output.scores.max()), "after", int(output.nfe), "evaluations"
)
