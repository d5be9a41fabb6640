"""How the text encoder's weights may be split, see `parallel.sharding`.

They fit 16 devices.
"""

from avits_jax.networks.gemma3.sharding import RULES as _GEMMA

RULES = (
    *((f"gemma/{pattern}", dimension) for pattern, dimension in _GEMMA),
    (r"connectors/extractor/(layers|last)/(shared|video|audio)/kernel", -1),
    (r"connectors/(video|audio)/blocks/(q|k|v|up)/kernel", -1),
    (r"connectors/(video|audio)/blocks/(out|down)/kernel", -2),
)
