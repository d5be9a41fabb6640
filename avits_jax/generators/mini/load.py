"""Mini ready to run (host only)."""

from pathlib import Path
from typing import NamedTuple

from avits_jax.generators.mini.generator import mini
from avits_jax.generators.mini.parts import MODEL
from avits_jax.types import Generator
from avits_jax.weights.model import Configs

__all__ = ["MODEL", "Options", "make"]


class Options(NamedTuple):
    """What mini leaves to choose.

    Attributes:
        num_steps: denoising steps.
        guidance_scale: of classifier-free guidance; 1 turns it off and halves the cost.
        shift: warp of the noise levels; above 1, more steps at high noise.
    """

    num_steps: int = 24
    guidance_scale: float = 1.2
    shift: float = 1.0


def make(configs: Configs, files: Path | None, options: Options) -> Generator:
    """Make mini.

    Args:
        configs: sizes of its networks, under "".
        files: not needed: words are known by themselves.
        options: its own.

    Raises:
        ValueError: an option is out of range.
    """
    del files
    return mini(configs[""], **options._asdict())
