"""Published PyTorch weights to checkpoints of this package (host only; no torch).

Reading order:
    files.py              the weight files of a network, whole or sharded, and their
                          tokenizers; read by safetensors_file.py, weights/torch_file.py
    lora.py               VideoReward's low-rank updates, merged into its weights
    unwrapped.py          CAVP's weights, saved inside a wrapper
    ltx2.py               LTX-2's networks, of which one file holds several; keys by
                          ltx2_names.py, low-rank updates by ltx2_lora.py
    models.py             every model that can be converted, from the tables
    finding.py            what a source holds of each network
    conversion.py         check every key first, then write all or nothing
"""

from avits_jax.converting.conversion import Ready, check_target, convert, prepare
from avits_jax.converting.files import read_weights
from avits_jax.converting.models import find_model, layout, modules

__all__ = [
    "Ready",
    "check_target",
    "convert",
    "find_model",
    "layout",
    "modules",
    "prepare",
    "read_weights",
]
