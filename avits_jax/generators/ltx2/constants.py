"""Numbers among LTX-2's weights that are no weights, where weights are drawn."""

from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.generators.ltx2.vocoder import constants as vocoder
from avits_jax.types import PyTree

# Drawn upsamplings grow: without it all samples would be -1 or 1.
_QUIET = 1e-3


def with_constants(drawn: dict[str, PyTree]) -> dict[str, PyTree]:
    """Put right statistics of latents and the vocoder's constants, among drawn weights.

    Args:
        drawn: weights by part.
    """
    drawn = dict(drawn)
    for name in ("video_decoder", "video_encoder"):
        drawn[name] = _plain(drawn[name])
    for name in ("audio_decoder", "audio_encoder"):
        statistics = _plain(drawn[name]["statistics"])
        drawn[name] = {**drawn[name], "statistics": statistics}
    sound = vocoder.with_constants(drawn["vocoder"])
    for name in sound.keys() & {"base", "extension"}:
        quiet = jax.tree.map(lambda x: x * _QUIET, sound[name]["conv_out"])
        sound[name] = {**sound[name], "conv_out": quiet}
    return {**drawn, "vocoder": sound}


def _plain(tree: dict[str, Any]) -> dict[str, Any]:
    """Return weights with statistics that change nothing."""

    def like(name: str, value: float) -> Any:
        return tree[name] * 0 + jnp.asarray(value, tree[name].dtype)

    return {**tree, "mean": like("mean", 0.0), "std": like("std", 1.0)}
