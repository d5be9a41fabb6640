"""Say on standard error which weights are random, and what else must be known."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence

from avits_jax.cli.run_progress import note
from avits_jax.media import weights_label


def tell_labels(random: Sequence[str], notices: Sequence[str]) -> None:
    """Say what the user must know of the weights in use, a line each.

    Args:
        random: names of models whose weights are drawn.
        notices: of licences.
    """
    if random:
        note(f"warning: {weights_label(random)}")
    for text in notices:
        note(f"note: {text}")


@contextlib.contextmanager
def warnings_told() -> Iterator[None]:
    """Say what a model warns of (that it cuts a prompt, say) in a line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(each.message) for each in caught):
        note(f"note: {' '.join(text.split())}")
