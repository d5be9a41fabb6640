"""A model's own options, as ``--set NAME=VALUE`` and older flags give them."""

from collections.abc import Sequence

from avits_jax.cli.errors import CliError


def read_assignments(texts: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` or several after commas; of one name the last value counts.

    A part without "=" belongs to the value before it: ``sizes=1,2`` is one option.

    Raises:
        CliError: there is a value without a name.
    """
    parts: list[str] = []
    for text in texts:
        first, *rest = text.split(",")
        parts.append(first)
        for part in rest:
            if "=" in part:
                parts.append(part)
            else:
                parts[-1] += f",{part}"
    found = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise CliError(f"--set must be NAME=VALUE, got {part!r}")
        found[name.strip().replace("-", "_")] = value.strip()
    return found
