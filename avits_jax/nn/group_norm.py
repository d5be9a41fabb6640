"""GroupNorm that sums pixels before channels, which CPUs do at full width."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class GroupNorm(nnx.Module):
    """Normalise groups of channels over all positions (Wu and He, arXiv 1803.08494).

    ``(x - mean) / sqrt(var + epsilon) * scale + bias``, with `nnx.GroupNorm`'s names of
    weights and its numbers up to rounding. Statistics are float32 and of two passes,
    since a mean of squares less a squared mean would cancel. Sums run over the
    positions of each channel, then over a group's channels; `nnx.GroupNorm` splits the
    channels first, and its sums then run over few numbers at a time.
    """

    def __init__(self, channels: int, groups: int, epsilon: float, *, rngs: nnx.Rngs):
        """Start with scales of one and biases of zero.

        Args:
            channels: of the input.
            groups: a divisor of them.
            epsilon: added to variances.
            rngs: unused; as other layers have it.

        Raises:
            ValueError: ``groups`` does not divide ``channels``.
        """
        del rngs
        if groups < 1 or channels % groups:
            raise ValueError(
                f"groups must divide the {channels} channels, got {groups}"
            )
        self.groups, self.epsilon = groups, epsilon
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.bias = nnx.Param(jnp.zeros((channels,)))

    def __call__(self, x: Float[Array, "B *S C"]) -> Float[Array, "B *S C"]:
        """Normalise each of a batch by itself.

        Args:
            x: of any number of axes between batch and channels.
        """
        scale, bias = self.scale[...], self.bias[...]
        mean = self._over_groups(x.astype(jnp.float32))
        centred = x.astype(jnp.float32) - mean
        variance = self._over_groups(jnp.square(centred))
        factor = jax.lax.rsqrt(variance + self.epsilon) * scale
        return (centred * factor + bias).astype(jnp.result_type(x, scale, bias))

    def _over_groups(self, x: Float[Array, "B *S C"]) -> Float[Array, "B ... C"]:
        """Return every group's mean, for each of its channels."""
        between = range(1, x.ndim - 1)
        sums = jnp.mean(x, tuple(between)).reshape(len(x), self.groups, -1)
        means = jnp.broadcast_to(jnp.mean(sums, 2, keepdims=True), sums.shape)
        return jnp.expand_dims(means.reshape(len(x), -1), tuple(between))
