"""How the transformer's weights may be split, see `parallel.sharding`; fits 16 devices.

Outputs are split, and the inputs of the matrices that project back.
"""

from avits_jax.types import Rules

RULES: Rules = (
    (r"blocks/\w+/(own|text|across)/(query|key|value)/kernel", -1),
    (r"blocks/\w+/(own|text|across)/(out|gate)/kernel", -2),
    (r"blocks/\w+/mlp/up/kernel", -1),
    (r"blocks/\w+/mlp/down/kernel", -2),
    (r"blocks/\w+/mlp/(up|down)/bias", -1),
    (r"blocks/\w+/(\w+_)?table", -1),
    (r"\w+/(inward|caption/up|\w*time/(up|down|rows))/kernel", -1),
    (r"\w+/(outward|caption/down)/kernel", -2),
)
