"""Optimisers of the reward weights, with PyTorch's defaults and update order."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from avits_jax.aggregation.checks import check_choice
from avits_jax.aggregation.lbfgs import lbfgs_init, lbfgs_step
from avits_jax.aggregation.serialization import register_optax_states
from avits_jax.types import PyTree

register_optax_states()

# Squares of larger gradients, which adaptive optimisers sum, would not be finite.
_LARGEST_GRADIENT = 1e15

Loss = Callable[[Float[Array, " V"]], Float[Array, ""]]
Step = Callable[[Loss, Float[Array, " V"], PyTree], tuple[Float[Array, " V"], PyTree]]


class Optimizer(NamedTuple):
    """An optimiser of one vector.

    Attributes:
        init: ``(params [V]) -> state``.
        step: ``(loss, params [V], state) -> (params [V], state)``.
    """

    init: Callable[[Float[Array, " V"]], PyTree]
    step: Step


# optax's updates are torch's, in another order of rounding, with these arguments.
_OPTAX: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "adam": lambda lr: optax.adam(lr, b1=0.9, b2=0.999, eps=1e-8),
    "adamw": lambda lr: optax.adamw(lr, eps=1e-8, weight_decay=1e-2),
    "rmsprop": lambda lr: optax.rmsprop(lr, decay=0.99, eps=1e-8, eps_in_sqrt=False),
    "sgd": lambda lr: optax.sgd(lr, momentum=0.9),
    # torch adds 1e-10 outside the root; inside it, where optax adds, that is 1e-20.
    "adagrad": lambda lr: optax.adagrad(lr, initial_accumulator_value=0.0, eps=1e-20),
}
OPTIMIZERS: tuple[str, ...] = (*_OPTAX, "lbfgs", "closed_form")


def make_optimizer(
    optimizer: str | optax.GradientTransformation, learning_rate: float
) -> Optimizer | None:
    """Return the named or wrapped optimiser; None for ``"closed_form"``.

    Args:
        optimizer: one of `OPTIMIZERS`, or an optax transformation.
        learning_rate: step size of a named optimiser; unused by a transformation.

    Raises:
        TypeError: neither a name nor an optax transformation.
        ValueError: unknown name; the message suggests the nearest.
    """
    if isinstance(optimizer, optax.GradientTransformation):
        return _from_optax(optimizer)
    if not isinstance(optimizer, str):
        raise TypeError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)} or an "
            f"optax.GradientTransformation, got {optimizer!r}"
        )
    check_choice("optimizer", optimizer, OPTIMIZERS)
    if optimizer == "closed_form":
        return None
    if optimizer == "lbfgs":
        # optax.lbfgs has another line search, memory rule and stopping rule.
        return Optimizer(
            lbfgs_init,
            lambda loss, params, state: lbfgs_step(
                loss, params, state, learning_rate=learning_rate
            ),
        )
    return _from_optax(_OPTAX[optimizer](learning_rate))


def _from_optax(transformation: optax.GradientTransformation) -> Optimizer:
    """Wrap an optax transformation: one update per step, on bounded gradients."""
    extended = optax.with_extra_args_support(transformation)

    def step(
        loss: Loss, params: Float[Array, " V"], state: PyTree
    ) -> tuple[Float[Array, " V"], PyTree]:
        value, grad = jax.value_and_grad(loss)(params)
        grad = jnp.clip(grad, -_LARGEST_GRADIENT, _LARGEST_GRADIENT)
        # optax multiplies its integer step count with floats.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = extended.update(
                grad, state, params, value=value, grad=grad, value_fn=loss
            )
        return params + updates.astype(params.dtype), state

    def init(params: Float[Array, " V"]) -> PyTree:
        # Strongly typed leaves, so that the state's types are the same after a step.
        return jax.tree.map(
            lambda x: jax.lax.convert_element_type(x, jnp.asarray(x).dtype),
            extended.init(params),
        )

    return Optimizer(init, step)
