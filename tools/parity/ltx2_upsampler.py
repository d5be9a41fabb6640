"""LTX-2's latent upsamplers against their goldens, stage by stage."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from avits_jax.generators.ltx2.upsampler.config import published_config
from avits_jax.generators.ltx2.upsampler.modeling import Upsampler
from avits_jax.generators.ltx2.upsampler.params import IGNORED, RULES, build
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.modules import (
    channels_first,
    channels_last,
    load_module,
    run_compiled,
)
from tools.parity.registry import register


def load_upsampler(golden: Golden) -> Upsampler:
    """The upsampler with the golden's weights."""
    config = published_config(golden.info["constructor"])
    return load_module(
        golden, lambda rngs: Upsampler(config, rngs=rngs), RULES, IGNORED
    )


def _each(layers: nnx.Module, depth: int, x: jax.Array) -> list[jax.Array]:
    """Outputs of stacked layers, one after the other."""
    graph, weights = nnx.split(layers)
    outputs = []
    for index in range(depth):
        one = jax.tree.map(lambda weight, index=index: weight[index], weights)
        x = nnx.merge(graph, one)(x)
        outputs.append(x)
    return outputs


def _stages(model: Upsampler, latents: jax.Array) -> dict[str, jax.Array]:
    """What the golden may hold under ``stage.``, in our layout."""
    config = model.config
    normed = model.norm_in(model.conv_in(latents))
    before = _each(model.before, config.num_blocks, jax.nn.silu(normed))
    resampled = model.resample(before[-1])
    after = _each(model.after, config.num_blocks, resampled[:, config.time - 1 :])
    return {
        "initial_norm": normed,
        "upsampler": resampled,
        **{f"res{index}": x for index, x in enumerate(before)},
        **{f"post{index}": x for index, x in enumerate(after)},
    }


def _filtered(model: Upsampler, latents: jax.Array, case: str) -> jax.Array:
    """The output of ``adain_FACTOR`` or ``tone_map_COMPRESSION``."""
    name, number = case.rsplit("_", 1)
    option = {"adain": "adain_factor", "tone_map": "tone_compression"}[name]
    return model(latents, **{option: float(number)})


@register("latent_upsampler*", holds=("in.latent", "constructor.mid_channels"))
def run_upsampler(golden: Golden) -> dict:
    """Normalised latents to upsampled ones, every stage between, and filters."""
    constructor = golden.info["constructor"]
    cases = [name for name in golden.outputs if name.startswith(("adain_", "tone_"))]

    def run(model: Upsampler, arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
        mean, std = arrays["latents_mean"], arrays["latents_std"]
        latents, odd = (
            channels_last(arrays[name]) * std + mean
            for name in ("latent", "odd.latent")
        )
        raw, stages = model(latents), _stages(model, latents)
        if model.config.time == 1 and not constructor["rational_resampler"]:
            # There the original still has its frames in the batch.
            flat = stages["upsampler"]
            stages["upsampler"] = flat.reshape(-1, *flat.shape[2:])
        return {
            "unnormalised": latents,
            "raw": raw,
            "normalised": (raw - mean) / std,
            "odd.normalised": (model(odd) - mean) / std,
            **{name: _filtered(model, latents, name) for name in cases},
            **{f"stage.{name}": x for name, x in stages.items()},
        }

    inputs = {name: jnp.asarray(array) for name, array in golden.inputs.items()}
    found = run_compiled(run, load_upsampler(golden), inputs)
    return {name: channels_first(array) for name, array in found.items()}


@register(
    "manifest_ltx2_latent_upsamplers*",
    holds=("tensors.*.initial_conv.weight", "meta.config.*.mid_channels"),
)
def run_upsampler_manifest(golden: Golden) -> dict:
    """Keys of the full-size upsamplers, and how many numbers each has."""
    results = {}
    for name, values in golden.info["meta"]["config"].items():
        like = build(published_config(values))[1]
        entries = golden.manifest[name]
        keys = check_manifest(entries, like, RULES, IGNORED)["keys"]
        # The stored blur kernel is a constant here.
        constant = 25 if "upsampler.blur_down.kernel" in entries else 0
        size = sum(leaf.size for leaf in jax.tree.leaves(like)) + constant
        results[f"{name}.keys"] = keys
        results[f"{name}.size"] = Expect(
            size, golden.info["meta"]["parameters"][name], 0.0
        )
    return results
