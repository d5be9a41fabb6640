"""Sampling on the rectified-flow path: levels, steps, guidance, the denoising scan."""

from avits_jax.sampling.denoise import (
    clean_from_noise,
    clean_from_velocity,
    denoise,
    noise_from_clean,
    step_keys,
    velocity_from_clean,
)
from avits_jax.sampling.guidance import classifier_free_guidance
from avits_jax.sampling.schedules import (
    check_sigmas,
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
    "at_least_float32",
    "check_sigmas",
    "classifier_free_guidance",
    "clean_from_noise",
    "clean_from_velocity",
    "denoise",
    "flow_step",
    "linear_combination",
    "linear_sigmas",
    "noise_from_clean",
    "noise_like",
    "renoise",
    "sde_step",
    "shift_sigmas",
    "shifted_sigmas",
    "step_keys",
    "velocity_from_clean",
]
