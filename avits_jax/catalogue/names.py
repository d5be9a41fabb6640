"""Names of verifiers: ``NAME[@CHECKPOINT][:MODE]``."""

import re
from typing import NamedTuple

TINY = "tiny"
MODES = ("default", "bench", "its")
_NAME = re.compile(
    r"(?P<name>[a-z0-9_]+)(@(?P<checkpoint>[^@]+?))?(:(?P<mode>[a-z]+))?"
)


class Request(NamedTuple):
    """A verifier as its user asks for it.

    Attributes:
        name: which reward.
        checkpoint: a folder, "tiny" for reduced networks with random weights, or "" for
            the published weights where they lie by default.
        mode: one of `MODES`: how clips are read.
    """

    name: str
    checkpoint: str = ""
    mode: str = "default"


def parse(text: str) -> Request:
    """Read a name as the command line has it.

    Raises:
        ValueError: it is not of that form, or the mode is unknown.

    Example:
        >>> parse("javis_score@tiny:its")
        Request(name='javis_score', checkpoint='tiny', mode='its')
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError(
            f"verifier {text!r} must be of the form NAME[@CHECKPOINT][:MODE]"
        )
    mode = match["mode"] or "default"
    if mode not in MODES:
        raise ValueError(
            f"mode of verifier {text!r} must be one of {', '.join(MODES)}, got {mode!r}"
        )
    return Request(match["name"], match["checkpoint"] or "", mode)
