"""How the vocoder's weights may be split, see `parallel.sharding`; fits 16 devices.

The three coarsest stages alone: they hold nearly all of it.
"""

from avits_jax.types import Rules

RULES: Rules = (
    (r"(base|extension)/(conv_in|upsamples/[0-2]|blocks/[0-8]/.*)/kernel", -1),
)
