"""Linear layers that compute in the dtype of what they are given."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def linear(
    features_in: int,
    features_out: int,
    *,
    use_bias: bool = True,
    result: Any = None,
    precision: jax.lax.Precision | None = None,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """Make a linear layer whose weights are cast to its input's dtype where used.

    By itself `flax.nnx.Linear` computes in the wider dtype of input and weights, and
    refuses weights in float8.

    Args:
        features_in, features_out: sizes of the last axis.
        use_bias: add a bias.
        result: dtype of sums and output, such as float32 where outputs are added up;
            None for the input's.
        precision: of the product; None for the platform's own.
        rngs: random streams.
    """
    return nnx.Linear(
        features_in,
        features_out,
        use_bias=use_bias,
        promote_dtype=_cast_to_input,
        preferred_element_type=result,
        precision=precision,
        rngs=rngs,
    )


def _cast_to_input(arrays: Any, /, *, dtype: Any = None, inexact: bool = True) -> Any:
    kind = arrays[0].dtype
    return tuple(None if x is None else jnp.asarray(x, kind) for x in arrays)
