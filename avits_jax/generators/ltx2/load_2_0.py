"""LTX-2 ready to run (host only)."""

from pathlib import Path

from avits_jax.generators.ltx2.load import Options, make_guided, make_refiner
from avits_jax.generators.ltx2.parts import LTX_2 as MODEL
from avits_jax.types import Generator
from avits_jax.weights.model import Configs

NUM_STEPS = 40

__all__ = ["MODEL", "Options", "make", "make_refiner"]


def make(
    configs: Configs, files: Path | None, options: Options, *, reduced: bool = False
) -> Generator:
    """Make LTX-2 for one size of clip, see `load.make`.

    Args:
        configs: sizes of its networks, by part.
        files: the checkpoint, which holds Gemma's tokenizer; None for a dummy one.
        options: its own.
        reduced: the reduced form.
    """
    return make_guided(configs, files, options, NUM_STEPS, reduced=reduced)
