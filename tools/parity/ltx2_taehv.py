"""TAEHV's decoder of LTX-2's latents against its golden."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from avits_jax.networks.taehv.config import TaehvConfig
from avits_jax.networks.taehv.modeling import TaehvDecoder
from avits_jax.networks.taehv.params import IGNORED, RULES, build
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.modules import load_module, run_compiled
from tools.parity.registry import register


def taehv_config(values: Mapping[str, Any]) -> TaehvConfig:
    """Our configuration from the original's."""
    return TaehvConfig(
        latent_channels=values["latent_channels"],
        widths=tuple(values["widths"]),
        time=tuple(1 + bool(each) for each in values["decoder_time_upscale"]),
        space=tuple(1 + bool(each) for each in values["decoder_space_upscale"]),
        patch=values["patch_size"],
    )


def load_taehv(golden: Golden) -> TaehvDecoder:
    """The decoder with the golden's weights."""
    config = taehv_config(golden.info["constructor"])
    return load_module(golden, lambda rngs: TaehvDecoder(config, rngs=rngs), RULES)


def _outputs(model: TaehvDecoder, inputs: dict[str, jax.Array]) -> dict:
    x = model.enter(inputs["latents"])
    found = {"frames": model.decode(inputs["latents"]), "stage.in": x}
    for index, stage in enumerate(model.stages):
        x = stage(x)
        found[f"stage.{index}"] = x
    return found | {"odd.frames": model.decode(inputs["odd.latents"])}


@register("taehv*", holds=("in.latents", "constructor.decoder_time_upscale"))
def run_taehv(golden: Golden) -> dict:
    """Latents to frames, every stage between, and the keys of the published file."""
    inputs = {name: jnp.moveaxis(array, 2, -1) for name, array in golden.inputs.items()}
    found = run_compiled(_outputs, load_taehv(golden), inputs)
    results: dict = {name: jnp.moveaxis(x, -1, 2) for name, x in found.items()}
    like = build(TaehvConfig())[1]
    keys = check_manifest(golden.info["published"], like, RULES, IGNORED)["keys"]
    return results | {"published.keys": keys}
