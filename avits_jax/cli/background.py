"""Run long native calls beside the main thread, which stays open to Ctrl-C."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_THREAD = "avits-work"
_POLL = 0.1  # seconds between looks for Ctrl-C


def run(function: Callable[[], T]) -> T:
    """Return ``function()``, called in another thread.

    XLA holds the calling thread while it compiles or computes, so that Ctrl-C would
    wait for its end.

    Args:
        function: what to call; after Ctrl-C it goes on, unheard.

    Raises:
        KeyboardInterrupt: at once, while ``function`` may still run.
    """
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # it belongs to whoever waits
            future.set_exception(error)

    threading.Thread(target=work, name=_THREAD, daemon=True).start()
    while True:
        done, _ = concurrent.futures.wait([future], timeout=_POLL)
        if done:
            return future.result()


def busy() -> bool:
    """Tell whether such a call is still running."""
    return any(thread.name == _THREAD for thread in threading.enumerate())
