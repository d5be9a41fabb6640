"""When to stop drawing: what further candidates may be expected to gain."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avits_jax.types import Scores

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
# Gauss-Legendre on [0, infinity), by x = u / (1 - u): tails fall as slowly as 1 / x^2.
_SHARES = (_NODES + 1) / 2
_ABOVE = (_SHARES / (1 - _SHARES)).astype(np.float32)
_WIDTHS = (_WEIGHTS / 2 / (1 - _SHARES) ** 2).astype(np.float32)


def expected_gain(
    scores: Scores, num_drawn: int | Int[Array, ""], num_more: int
) -> Float[Array, ""]:
    """Return how far `num_more` further candidates are expected to raise the best.

    Scores are taken as draws of a normal distribution of unknown mean and variance.
    Given n of them, with mean ``a`` and deviation ``s`` (of ``n - 1``), the next one is
    ``a + s c t``, ``c = sqrt(1 + 1/n)``, with ``t`` of Student's distribution of
    ``n - 1`` degrees of freedom. With ``z = (best - a) / s`` and ``p`` the share of
    those drawn that are usable, the best of m more exceeds ``z`` by

    ``E[max(max_m c t - z, 0)] = c int_{z/c}^inf 1 - (1 - p P(t > x))^m dx``

    deviations: the expected improvement of Bayesian optimisation (Jones, Schonlau &
    Welch 1998, eq. 15, for m = 1 and a normal; Williams, Santner & Notz 2000 for
    Student's). To go on while this is worth more than a draw costs is optimal where the
    distribution is known (Weitzman 1979, "Optimal Search for the Best Alternative");
    Student's heavy tails keep few scores from saying that they are enough. It is
    measured in deviations because the scale of scores is the aggregator's, and moves as
    that learns. That draws of one unknown distribution depend on each other is left
    out, which makes it an upper bound.

    Args:
        scores: ``[N]``, up to a common constant; NaN or -inf for candidates that failed
            or were never drawn.
        num_drawn: candidates that were drawn, those that failed among them.
        num_more: further candidates m, at least 1.

    Returns:
        float32: at least 0; infinite where fewer than three are usable (the mean of
        Student's tail is), and 0 where three or more are all equal.
    """
    usable = jnp.isfinite(scores)
    count = jnp.sum(usable, dtype=jnp.float32)
    best = jnp.max(jnp.where(usable, scores, -jnp.inf))
    below = jnp.where(usable, scores - best, 0.0).astype(jnp.float32)
    mean = jnp.sum(below) / jnp.maximum(count, 1.0)
    freedom = jnp.maximum(count - 1.0, 1.0)
    squares = jnp.sum(jnp.where(usable, jnp.square(below - mean), 0.0))
    std = jnp.sqrt(squares / freedom)
    varies = std > 0
    wider = jnp.sqrt(1.0 + 1.0 / jnp.maximum(count, 1.0))
    reached = -mean / jnp.where(varies, std, 1.0) / wider
    share = count / jnp.maximum(jnp.asarray(num_drawn, jnp.float32), 1.0)
    better = share * _student_tail(reached + _ABOVE, freedom)
    exceeded = -jnp.expm1(num_more * jnp.log1p(-better))
    gain = jnp.where(varies, wider * jnp.sum(_WIDTHS * exceeded), 0.0)
    return jnp.where(count > 2, gain, jnp.inf)


def _student_tail(
    x: Float[Array, " K"], freedom: Float[Array, ""]
) -> Float[Array, " K"]:
    """Return ``P(t > x)`` of Student's distribution, for x of at least 0.

    By the same nodes, over the density without its constant. (`betainc` would say it,
    but has a loop of its own that `jax.shard_map` does not accept.)
    """
    points = jnp.concatenate([jnp.zeros(1, x.dtype), x])[:, None] + _ABOVE[None]
    power = -0.5 * (freedom + 1.0)
    density = jnp.exp(power * jnp.log1p(jnp.square(points) / freedom))
    above = jnp.sum(_WIDTHS[None] * density, axis=1)
    return 0.5 * above[1:] / above[0]
