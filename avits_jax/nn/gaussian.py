"""Diagonal Gaussians that encoders give."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

_LOG_VARIANCE_RANGE = (-30.0, 20.0)


class Gaussian(NamedTuple):
    """A diagonal normal distribution.

    Attributes:
        mean: any shape.
        log_variance: of the same shape, within [-30, 20].
    """

    mean: Float[Array, "*S"]
    log_variance: Float[Array, "*S"]

    def sample(self, noise: Float[Array, "*S"]) -> Float[Array, "*S"]:
        """Return the value at the standard normal draw ``noise``."""
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise


def split_moments(moments: Float[Array, "*B M"]) -> Gaussian:
    """Return the Gaussian whose moments are the halves of the last axis."""
    mean, log_variance = jnp.split(moments, 2, axis=-1)
    return Gaussian(mean, jnp.clip(log_variance, *_LOG_VARIANCE_RANGE))
