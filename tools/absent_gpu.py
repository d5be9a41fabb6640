"""Trace as a machine with a CUDA GPU does, where there is none."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import jax

_KERNELS = "jax._src.cudnn.fused_attention_stablehlo"
_CUDNN = 91_002  # 9.10.2; only asked whether it is old


def _version(capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in capability.split("."))


@contextmanager
def absent_gpu(capability: str = "9.0") -> Iterator[None]:
    """Answer for a GPU what JAX asks of it while it traces and lowers.

    All checks of shapes and dtypes that jax makes before it hands attention to cuDNN
    are then made, and programs hold the calls of cuDNN, with or without CUDA packages.

    Args:
        capability: compute capability; that of an H100 and H200 by default.
    """
    card = _version(capability)
    answers = {
        "check_cudnn_version": lambda: _CUDNN,
        "check_compute_capability": lambda wanted: card >= _version(wanted),
        "is_cuda_compute_capability_equal": lambda wanted: card == _version(wanted),
    }
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(jax, "default_backend", lambda: "gpu"))
        for name, answer in answers.items():
            stack.enter_context(mock.patch(f"{_KERNELS}.{name}", answer))
        yield
