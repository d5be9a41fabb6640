"""Find the data that travels with the package, and where copies are kept.

In a checkout they lie beside the package (``checkpoints/``, ``configs/``); the wheel
carries them inside it (``avits_jax/_data/``). Callers need not know which.
"""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def data_folder(name: str) -> Path:
    """Return the folder ``name`` of shipped data, from a checkout or from a wheel.

    Args:
        name: "checkpoints" or "configs".

    Returns:
        Path of the folder.

    Raises:
        FileNotFoundError: neither the package nor its checkout holds the folder.

    Example:
        >>> (data_folder("checkpoints") / "mini").is_dir()
        True
    """
    installed = _PACKAGE / "_data" / name
    checkout = _PACKAGE.parent / name
    if installed.is_dir():
        return installed
    if checkout.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return checkout
    raise FileNotFoundError(
        f"the data folder {name!r} is in neither {installed} nor {checkout}; "
        "install avits_jax again"
    )


def user_cache(name: str) -> Path:
    """Return the folder ``name`` of this package in the user's cache, there or not."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "avits_jax" / name
