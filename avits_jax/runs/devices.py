"""How a search is compiled and laid over devices."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from avits_jax.nn.apart import compile_apart
from avits_jax.nn.compiling import compile_lowered
from avits_jax.types import Params, PyTree, SearchOutput


class Compiled:
    """A function compiled once for arguments of the same shapes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Compile nothing yet.

        Args:
            function: of arrays; pure.
        """
        self._function = function
        self._jitted = jax.jit(function)
        self._programs: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns."""
        return self.program(*arguments)(*arguments)

    def program(self, *arguments: Any) -> Any:
        """Return the program for such arguments, compiled where there is none yet."""
        leaves, treedef = jax.tree.flatten(arguments)
        key = (treedef, *((np.shape(leaf), leaf.dtype) for leaf in leaves))
        if key not in self._programs:
            self._programs[key] = self.compile(*arguments)
        return self._programs[key]

    def compile(self, *arguments: Any) -> Any:
        """Compile the function for such arguments."""
        apart = compile_apart(self._function, *arguments)
        return apart or compile_lowered(self._jitted.lower(*arguments))


def _same(value: Any) -> Any:
    return value


class Devices(NamedTuple):
    """How a search is compiled and laid over devices; the default is one device.

    Attributes:
        bind: like `functools.partial`: binds a search's keyword arguments, among them
            ``generator`` and ``verifiers``; the result takes the positional ones.
        place: lays weights over the devices.
        share: copies a key, a condition and a state to all of them.
        fetch: brings results to every host, as NumPy arrays.
        guarded: context of a search; says it plainly when another host is gone.
        compiled: makes a compiled function.
    """

    bind: Callable[..., Callable[..., SearchOutput]] = functools.partial
    place: Callable[[Params], Params] = _same
    share: Callable[[PyTree], PyTree] = _same
    fetch: Callable[[PyTree], PyTree] = jax.device_get
    guarded: Callable[[], contextlib.AbstractContextManager[None]] = (
        contextlib.nullcontext
    )
    compiled: Callable[[Callable[..., Any]], Compiled] = Compiled


ONE_DEVICE = Devices()
