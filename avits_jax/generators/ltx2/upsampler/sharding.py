"""How an upsampler's weights may be split, see `parallel.sharding`; fits 16 devices."""

from avits_jax.types import Rules

RULES: Rules = ((r"((before|after|resample)/)?conv\w*/kernel", -1),)
