"""Names of the published weights, mapped onto ours.

They are of ``passt-s-f128-p16-s10-ap.476-swa.pt``; a state dict of hear21passt's
wrapper, whose names begin with ``net.``, is read as well.
"""

from functools import cache

import numpy as np
from flax import nnx

from avits_jax.metrics.passt.config import PasstConfig
from avits_jax.metrics.passt.modeling import Passt
from avits_jax.nn.abstract import abstract
from avits_jax.nn.vit import token_rows
from avits_jax.types import PyTree
from avits_jax.weights.name_map import Rule, conv, linear, norm, prefixed


def _positions(table: np.ndarray) -> np.ndarray:
    """Turn ``[1, D, rows, columns]``, one of the last two 1, into ``[n, D]``."""
    return table.reshape(table.shape[1], -1).T


_BLOCK = (
    *norm("norm1", "norm1"),
    *linear("attn.qkv", "attention.qkv"),
    *linear("attn.proj", "attention.out"),
    *norm("norm2", "norm2"),
    *linear("mlp.fc1", "mlp.fc1"),
    *linear("mlp.fc2", "mlp.fc2"),
)
_NETWORK = (
    *conv("patch_embed.proj", "embed"),
    Rule(("cls_token", "dist_token"), "first", token_rows),
    Rule("new_pos_embed", "first_position", token_rows),
    Rule("freq_new_pos_embed", "row_position", _positions),
    Rule("time_new_pos_embed", "column_position", _positions),
    *prefixed(_BLOCK, "blocks.{layer}.", "blocks."),
    *norm("norm", "norm"),
    *norm("head.0", "head_norm"),
    *linear("head.1", "head"),
)
_UNUSED = "a second head, of training"
_WRAPPER = "net."

RULES: tuple[Rule, ...] = (*_NETWORK, *prefixed(_NETWORK, _WRAPPER))

IGNORED: dict[str, str] = {
    "head_dist.{part}": _UNUSED,
    f"{_WRAPPER}head_dist.{{part}}": _UNUSED,
    "device_proxy": "holds no weights",
}


@cache
def build(config: PasstConfig) -> tuple[nnx.GraphDef, PyTree]:
    """Return the network's graph, and its parameters as shapes without memory."""
    return abstract(lambda rngs: Passt(config, rngs=rngs))
