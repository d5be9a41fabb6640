"""The gradient of fused attention kernels: that of the plain form, which is XLA's."""

from collections.abc import Callable

import jax
from jaxtyping import Array

Attention = Callable[..., Array]


def with_gradient_of(plain: Attention, fused: Attention) -> Attention:
    """Return ``fused`` with the gradient of ``plain``.

    cuDNN's own gradient takes even lengths alone, and the TPU's kernel as it is used
    here has none. Where nobody differentiates, nothing of it is computed.

    Args:
        plain: ``(query, key, value, lengths) -> mixed``, see `nn.attention.attend`; or
            of other arrays, the last of which is no variable.
        fused: the same by a kernel.
    """
    attended = jax.custom_vjp(fused)

    def backward(arrays, cotangent):
        *variables, last = arrays
        _, pull = jax.vjp(lambda *each: plain(*each, last), *variables)
        return *pull(cotangent), None

    attended.defvjp(lambda *arrays: (fused(*arrays), arrays), backward)
    return attended
