"""Models trained on other noise paths, as generators on ours.

Your model's parametrisation, here
----------------------------------

===========================================  =========================================
What your network predicts                   How it becomes a `Generator`
===========================================  =========================================
clean sample ``x``, on the flow's path       ``predict`` as it is, ``step`` by `euler`
``(1 - s) x + s noise``
velocity ``noise - x`` on the same path      the same, after `clean_from_velocity`; a
(Stable Diffusion 3, FLUX, Wan, LTX)         velocity ``x - noise`` is negated first
noise, on ``sqrt(abar) x +                   `from_epsilon`
sqrt(1 - abar) noise`` (DDPM)
"v" on that path, ``sqrt(abar) noise -       `from_velocity`
sqrt(1 - abar) x`` (diffusers'
``v_prediction``)
clean sample of ``x + sigma noise``, with    `from_edm`
EDM's preconditioning inside
===========================================  =========================================

No second noise path is needed. With ``sa = sqrt(abar)``, ``sb = sqrt(1 - abar)``, a
variance-preserving latent ``z = sa x + sb noise`` divided by its own scale lies on the
flow's path:

    ``z' = z / (sa + sb) = (1 - s) x + s noise``, with ``s = sb / (sa + sb)``

and EDM's ``z = x + sigma noise`` likewise, ``z' = z / (1 + sigma)``,
``s = sigma / (1 + sigma)``. `flow_step` on ``z'`` then equals DDIM with eta 0 (Song et
al. 2021, eq. 12) and EDM's Euler step (Karras et al. 2022, algorithm 1 without its
correction); `sde_step` equals ancestral sampling (DDIM with eta 1, DDPM's posterior
with the lower variance). So every search works on these models, too.

Guidance belongs into the prediction function, see `sampling.combine`. Levels may be
trees, see `sampling.schedules`, where picture and sound have schedules of their own.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Int, Shaped

from avits_jax.sampling.denoise import euler
from avits_jax.sampling.schedules import check_sigmas, levels_at
from avits_jax.sampling.steps import linear_combination, noise_like
from avits_jax.types import Candidates, Generator, Keys, Media, PyTree

# Below this abar, float32 leaves of ``(z - sb noise) / sa`` only rounding errors.
_LEAST_ABAR = 1e-12

# One entry a step: numbers, or trees of them; or a NumPy array of numbers.
PerStep: TypeAlias = Sequence[PyTree] | Shaped[np.ndarray, " T"]
Prediction = Callable[..., PyTree]
Decode = Callable[[PyTree, Candidates], Media]


class _Form(NamedTuple):
    """A parametrisation: what one of the model's own levels means on our path.

    Attributes:
        sigma: our noise level.
        scale: factor from our latents to the model's.
        noise: deviation of the model's first noise, in the model's scale.
        of_latents: factor of the model's latents in the clean sample.
        of_prediction: factor of its prediction in it.
    """

    sigma: Callable[[float], float]
    scale: Callable[[float], float]
    noise: Callable[[float], float]
    of_latents: Callable[[float], float]
    of_prediction: Callable[[float], float]


def _roots(abar: float) -> tuple[float, float]:
    return math.sqrt(abar), math.sqrt(1 - abar)


def _vp_sigma(abar: float) -> float:
    signal, noise = _roots(abar)
    return noise / (signal + noise)


# Variance preserving, whatever is predicted.
_VP: dict[str, Callable[[float], float]] = {
    "sigma": _vp_sigma,
    "scale": lambda abar: sum(_roots(abar)),
    "noise": lambda abar: 1.0,
}
_EPSILON = _Form(
    **_VP,
    of_latents=lambda abar: 1 / math.sqrt(abar),
    of_prediction=lambda abar: -math.sqrt((1 - abar) / abar),
)
_VELOCITY = _Form(
    **_VP,
    of_latents=lambda abar: math.sqrt(abar),
    of_prediction=lambda abar: -math.sqrt(1 - abar),
)
_EDM = _Form(
    sigma=lambda sigma: sigma / (1 + sigma),
    scale=lambda sigma: 1 + sigma,
    noise=lambda sigma: sigma,
    of_latents=lambda sigma: 0.0,
    of_prediction=lambda sigma: 1.0,
)


def from_epsilon(
    predict: Prediction,
    abar: PerStep,
    *,
    latents: PyTree,
    decode: Decode,
    timesteps: PerStep | None = None,
    **fields: Any,
) -> Generator:
    """Make a generator of a network that predicts the noise of a DDPM.

    ``x = (z - sqrt(1 - abar) noise) / sqrt(abar)`` (Ho et al. 2020, eq. 15; DDIM, Song
    et al. 2021, eq. 9), see `sampling.paths`. Sampling starts from noise of deviation 1
    in the model's own scale, as DDPM does, also where the first ``abar`` is above 0; it
    ends on the clean sample, at abar 1, after the last step (diffusers' DDIMScheduler
    with ``set_alpha_to_one``).

    Args:
        predict: ``(params, z, timestep, cond) -> prediction``, trees like `latents` of
            ``[N, ...]`` arrays; ``z`` is in the model's own scale, ``timestep`` is that
            of the step (a scalar array, traced).
        abar: the product of ``1 - beta`` up to the timestep of each step, rising, in
            [1e-12, 1); numbers, or prefix trees of them.
        latents: shapes and dtypes of one candidate's latents, a tree of
            `jax.ShapeDtypeStruct` (or arrays).
        decode: ``(params, candidates) -> Media``; final latents are in the model's
            scale.
        timesteps: what `predict` is told at each step; None for the step's number.
        **fields: other fields of `Generator` (``nfe_per_step``, ``fps``, ``encode``).

    Returns:
        The generator; its ``predict`` returns clean samples, `sigmas` is on our path.

    Raises:
        ValueError: `abar` does not rise within its range, or there is not one of
            `timesteps` per step.

    Example:
        >>> generator = from_epsilon(
        ...     unet, abar[timesteps], timesteps=timesteps,
        ...     latents=jax.ShapeDtypeStruct((4, 16, 32, 32), jnp.float32),
        ...     decode=decode, fps=8.0)
    """
    levels = _checked(
        "abar", abar, lambda a: _LEAST_ABAR <= a < 1, f"[{_LEAST_ABAR}, 1)"
    )
    return _generator(_EPSILON, predict, levels, latents, decode, timesteps, fields)


def from_velocity(
    predict: Prediction,
    abar: PerStep,
    *,
    latents: PyTree,
    decode: Decode,
    timesteps: PerStep | None = None,
    **fields: Any,
) -> Generator:
    """Make a generator of a network with diffusers' "v_prediction".

    It predicts ``v = sqrt(abar) noise - sqrt(1 - abar) x``, so that
    ``x = sqrt(abar) z - sqrt(1 - abar) v`` (Salimans & Ho 2022, "Progressive
    Distillation for Fast Sampling of Diffusion Models", appendix D). Not the flow's
    velocity ``noise - x``, for which see `clean_from_velocity`. A first `abar` of 0
    (zero terminal signal, Lin et al. 2023) is allowed.

    Args:
        predict: see `from_epsilon`, and so the other arguments.
        abar: rising, in [0, 1).
        latents: one candidate's shapes.
        decode: of final latents.
        timesteps: one per step, or None.
        **fields: other fields of `Generator`.

    Returns:
        The generator.

    Raises:
        ValueError: see `from_epsilon`.
    """
    levels = _checked("abar", abar, lambda a: 0 <= a < 1, "[0, 1)")
    return _generator(_VELOCITY, predict, levels, latents, decode, timesteps, fields)


def from_edm(
    denoiser: Prediction,
    sigmas: PerStep,
    *,
    latents: PyTree,
    decode: Decode,
    timesteps: PerStep | None = None,
    **fields: Any,
) -> Generator:
    """Make a generator of an EDM denoiser ``D(z; sigma)``, ``z = x + sigma noise``.

    Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative
    Models", eq. 7 and algorithm 1 (Euler, without its second-order correction).
    Sampling starts from noise of deviation ``sigmas[0]`` and ends at sigma 0.

    Args:
        denoiser: ``(params, z, timestep, cond) -> clean sample``, its preconditioning
            included; see `from_epsilon`, and so the other arguments.
        sigmas: EDM noise levels of the steps, falling, above 0; the last 0 is added.
        latents: one candidate's shapes.
        decode: of final latents.
        timesteps: what `denoiser` is told at each step; None for the step's sigma.
        **fields: other fields of `Generator`.

    Returns:
        The generator; its `sigmas` are on our path, below 1.

    Raises:
        ValueError: `sigmas` do not fall or are not above 0, or there is not one of
            `timesteps` per step.
    """
    levels = _checked("sigmas", sigmas, lambda s: 0 < s < math.inf, "(0, infinity)")
    told = levels if timesteps is None else timesteps
    return _generator(_EDM, denoiser, levels, latents, decode, told, fields)


def _checked(
    name: str, levels: PerStep, within: Callable[[float], bool], accepted: str
) -> tuple[PyTree, ...]:
    """Return the levels as floats once each lies where it should.

    Their order is checked by `check_sigmas`.
    """
    floats = tuple(jax.tree.map(float, level) for level in levels)
    for level in jax.tree.leaves(floats):
        if not within(level):
            raise ValueError(f"{name} must lie in {accepted}, got {level}")
    return floats


def _generator(
    form: _Form,
    predict: Prediction,
    levels: tuple[PyTree, ...],
    latents: PyTree,
    decode: Decode,
    timesteps: PerStep | None,
    fields: dict[str, Any],
) -> Generator:
    told = tuple(range(len(levels)) if timesteps is None else timesteps)
    if len(told) != len(levels):
        raise ValueError(
            f"timesteps must hold one entry per step ({len(levels)}), got {len(told)}"
        )
    falling, scales, noises, of_latents, of_predictions = (
        _column(function, levels) for function in form
    )
    end = jax.tree.map(lambda _: 0.0, levels[-1]) if levels else 0.0
    sigmas = check_sigmas((*falling, end))

    def init(params: PyTree, keys: Keys, cond: PyTree) -> Candidates:
        blank = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((len(keys), *x.shape), x.dtype), latents
        )
        first = jax.tree.map(operator.truediv, noises[0], scales[0])
        return Candidates(_scaled(first, noise_like(keys, blank)))

    def clean(
        params: PyTree, candidates: Candidates, i: int | Int[Array, ""], cond: PyTree
    ) -> PyTree:
        z = _scaled(levels_at(scales, i), candidates.latents)
        prediction = predict(params, z, levels_at(told, i), cond)
        factors = levels_at(of_latents, i), levels_at(of_predictions, i)
        return jax.tree.map(
            lambda a, b, *trees: linear_combination((a, b), *trees),
            *factors,
            z,
            prediction,
        )

    step = euler(clean, sigmas)
    return Generator(init, step, decode, predict=clean, sigmas=sigmas, **fields)


def _column(
    function: Callable[[float], float], levels: tuple[PyTree, ...]
) -> tuple[PyTree, ...]:
    return tuple(jax.tree.map(function, level) for level in levels)


def _scaled(factor: PyTree, tree: PyTree) -> PyTree:
    """Multiply each part of a tree by its own factor."""
    return jax.tree.map(lambda f, part: linear_combination((f,), part), factor, tree)
