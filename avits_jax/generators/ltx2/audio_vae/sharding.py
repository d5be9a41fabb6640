"""How the sound autoencoder's weights may be split, see `parallel.sharding`."""

from avits_jax.types import Rules

RULES: Rules = ((r"(conv_in|.*/(conv[12]|shortcut|resample))/kernel", -1),)
