"""What a clip's file, a page and the terminal say of weights that are random."""

from collections.abc import Sequence


def weights_label(names: Sequence[str]) -> str:
    """Return the label of what models with random weights made; "" without any.

    Args:
        names: of the models whose weights are drawn.
    """
    if not names:
        return ""
    return f"random weights ({', '.join(names)}): what they make or say means nothing"
