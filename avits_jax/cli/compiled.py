"""Compiled functions whose memory is checked, and which Ctrl-C interrupts."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

from avits_jax import runs
from avits_jax.cli import background, memory
from avits_jax.cli.errors import FAILED, TooLargeError, as_refusal
from avits_jax.cli.exported import compile_known


class Checked(runs.Compiled):
    """A compiled function whose memory is checked, and which Ctrl-C interrupts."""

    def __init__(
        self, function: Callable[..., Any], settings: str = memory.SEARCH_SETTINGS
    ) -> None:
        """Compile nothing yet.

        Args:
            function: of arrays; pure.
            settings: what lowers its need of memory, in words.
        """
        super().__init__(function)
        self._settings = settings

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns, when it is there.

        Raises:
            CliError: see `compile`; or memory ran out.
        """
        program = self.program(*arguments)
        with saying_too_large(self._settings):
            return background.run(lambda: jax.block_until_ready(program(*arguments)))

    def compile(self, *arguments: Any) -> Any:
        """Compile the function.

        Raises:
            CliError: it does not fit into memory, or sizes do not suit a verifier.
        """
        with as_refusal(), saying_too_large(self._settings):
            made = background.run(lambda: compile_known(self._jitted, arguments))
        need = memory.need_of(made, arguments)
        memory.check_program(need, memory.free_memory(), self._settings)
        return made


@contextlib.contextmanager
def saying_too_large(settings: str = memory.SEARCH_SETTINGS) -> Iterator[None]:
    """Say what to do, with these settings, where XLA says that memory ran out."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise too_large(error, settings) from error


def too_large(error: Exception, settings: str = memory.SEARCH_SETTINGS) -> Exception:
    """Return ``error``, or what to do about it where it says that memory ran out."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        return error
    return TooLargeError(
        f"the device has too little memory; lower the need with {settings}",
        FAILED,
    )
