"""Sampling on the rectified-flow path: levels, steps, guidance, the denoising scan.

A model of another parametrisation comes in through `sampling.paths`: "Your model's
parametrisation, here".
"""

from avits_jax.sampling.denoise import (
    clean_from_noise,
    clean_from_velocity,
    denoise,
    euler,
    noise_from_clean,
    step_keys,
    velocity_from_clean,
)
from avits_jax.sampling.drafts import fewer_steps, usual_drafts, without_guidance
from avits_jax.sampling.guidance import (
    classifier_free_guidance,
    combine,
    join_branches,
    repeat_rows,
    shared_branches,
    shares_branches,
    split_branches,
)
from avits_jax.sampling.paths import from_edm, from_epsilon, from_velocity
from avits_jax.sampling.reuse import (
    Blocks,
    Guidance,
    reuse_blocks,
    reuse_guidance,
)
from avits_jax.sampling.schedules import (
    check_sigmas,
    levels_at,
    linear_sigmas,
    shift_sigmas,
    shifted_sigmas,
)
from avits_jax.sampling.steps import (
    at_least_float32,
    flow_step,
    linear_combination,
    noise_like,
    renoise,
    sde_step,
)

__all__ = [
    "Blocks",
    "Guidance",
    "at_least_float32",
    "check_sigmas",
    "classifier_free_guidance",
    "clean_from_noise",
    "clean_from_velocity",
    "combine",
    "denoise",
    "euler",
    "fewer_steps",
    "flow_step",
    "from_edm",
    "from_epsilon",
    "from_velocity",
    "join_branches",
    "levels_at",
    "linear_combination",
    "linear_sigmas",
    "noise_from_clean",
    "noise_like",
    "renoise",
    "repeat_rows",
    "shared_branches",
    "shares_branches",
    "reuse_blocks",
    "reuse_guidance",
    "sde_step",
    "shift_sigmas",
    "shifted_sigmas",
    "split_branches",
    "step_keys",
    "usual_drafts",
    "velocity_from_clean",
    "without_guidance",
]
