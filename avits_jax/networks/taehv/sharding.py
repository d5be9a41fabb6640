"""How TAEHV's weights may be split, see `parallel.sharding`; fits 16 devices."""

from avits_jax.types import Rules

RULES: Rules = ((r"(conv_in|stages/\d/(blocks/\d/)?conv\d?)/kernel", -1),)
