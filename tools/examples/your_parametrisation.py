"""A DDPM model of your own, guided by a text and an image, in every search.

The network here knows the noise in closed form, so that nothing has to be trained;
yours takes the place of ``noise``. "v"-prediction and EDM go the same way: see the
table in `avits_jax.sampling.paths`.

    python tools/examples/your_parametrisation.py
"""

import jax
import jax.numpy as jnp
import numpy as np

import avits_jax as avits
from avits_jax.sampling import combine, repeat_rows, split_branches

BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
TIMESTEPS = np.linspace(999, 49, 20).astype(int)
ABAR = np.cumprod(1 - BETAS)


def noise(params, z, timestep, text, image):
    """What your network predicts of ``z``, one row each of text and image."""
    abar = jnp.asarray(ABAR, jnp.float32)[timestep]
    clean = jnp.tanh(text + 0.5 * image + params["gain"] * z)
    return (z - jnp.sqrt(abar) * clean) / jnp.sqrt(1 - abar)


def guided(params, z, timestep, cond):
    """Text at 3, image at 1.5: a branch with all, one without each of the two."""
    text = jnp.stack([cond["text"], jnp.zeros(4), cond["text"]])
    image = jnp.stack([cond["image"], cond["image"], jnp.zeros(4)])
    rows = repeat_rows(z, 3)
    texts, images = (jnp.tile(x, (len(z), 1)) for x in (text, image))
    predicted = noise(params, rows, timestep, texts, images)
    everything, no_text, no_image = split_branches(predicted, 3)
    weights = (3.0 - 1, 1.5 - 1)
    return combine(everything, (no_text, no_image), weights, rescale=0.7)


def decode(params, candidates):
    """Plain pictures and tones."""
    color, pitch = candidates.latents[:, :3], candidates.latents[:, 3:]
    video = jnp.broadcast_to(
        jax.nn.sigmoid(color)[:, None, None, None], (len(color), 8, 16, 16, 3)
    )
    time = jnp.arange(8000) / 8000
    return avits.Media(video, jnp.sin(2 * jnp.pi * 440 * (2 + pitch) * time))


generator = avits.from_epsilon(
    guided,
    ABAR[TIMESTEPS],
    timesteps=TIMESTEPS,
    latents=jax.ShapeDtypeStruct((4,), jnp.float32),
    decode=decode,
    nfe_per_step=3,
    fps=8.0,
    sample_rate=8000,
)
redness = avits.Verifier(
    "redness", lambda params, media, cond: media.video[..., 0].mean((1, 2, 3))
)
prompt = {"text": jnp.array([0.2, -0.2, 0.1, 0.0]), "image": jnp.full(4, 0.1)}
for name, search, settings in (
    ("best of n", avits.best_of_n, {}),
    ("smc", avits.smc, {"resample_steps": (5, 10)}),
):
    output = jax.jit(
        lambda params, key, search=search, settings=settings: search(
            avits.Params(params, ((),)),
            key,
            avits.Cond(prompt, ((),)),
            generator=generator,
            verifiers=(redness,),
            aggregator=avits.weighted([1.0]),
            num_candidates=6,
            **settings,
        )
    )({"gain": jnp.float32(0.3)}, jax.random.key(0))
    best = float(output.scores.max())
    print(f"{name}: redness {best:.3f} after {int(output.nfe)} evaluations")
