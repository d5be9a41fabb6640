"""Distilled LTX-2.3 ready to run (host only)."""

from avits_jax.generators.ltx2.load import Options, make_refiner
from avits_jax.generators.ltx2.load import make_distilled as make
from avits_jax.generators.ltx2.parts import LTX_2_3_DISTILLED as MODEL

__all__ = ["MODEL", "Options", "make", "make_refiner"]
