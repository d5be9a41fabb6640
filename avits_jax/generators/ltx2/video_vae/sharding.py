"""How the video autoencoder's weights may be split, see `parallel.sharding`.

Kernels are split by what they give, the last ones by what they take. Fits 16 devices.
"""

from avits_jax.types import Rules

RULES: Rules = (
    (r"conv_in/kernel", -1),
    (r"blocks/\d+/(layers/conv[12]|conv)/kernel", -1),
    (r"conv_out/kernel", -2),
)
