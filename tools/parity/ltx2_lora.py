"""LoRA files merged into LTX-2's transformer, and its output with them."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from avits_jax.converting.files import Found, LoraFile
from avits_jax.converting.ltx2_lora import merge_loras
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.generators.ltx2.transformer.modeling import Transformer
from avits_jax.generators.ltx2.transformer.params import RULES
from avits_jax.weights import name_map
from tools.parity.checks import Expect
from tools.parity.golden import Golden, strip_prefix
from tools.parity.ltx2_transformer import load_transformer, pair, tables_of
from tools.parity.registry import register

_BFLOAT16_STEP = 2.0**-7  # between neighbours, relative


def merged_states(
    golden: Golden, base: Mapping[str, Any], *, stepwise: bool = False
) -> dict[str, Mapping[str, Any]]:
    """The transformer's state dict of every case, its weights updated when read.

    Args:
        golden: two LoRAs, and cases of them with scales.
        base: the transformer's state dict.
        stepwise: round as ltx-core does.
    """
    found, cases = {"transformer": Found(base)}, golden.info["cases"]
    states: dict[str, Mapping[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in {lora for loras in cases.values() for lora, _ in loras}:
            update = strip_prefix(golden.weights, f"{name}.")
            save_file(update, Path(folder) / f"{name}.safetensors")
        for case, loras in cases.items():
            files = [LoraFile(Path(folder) / f"{x}.safetensors", s) for x, s in loras]
            merged = merge_loras(found, files, stepwise=stepwise)["transformer"].state
            states[case] = {key: np.asarray(value) for key, value in merged.items()}
    return states


@register("lora_merge*", holds=("bf16_rule", "out.*.merged.*"))
def run_lora_merge(golden: Golden) -> dict:
    """Weights merged in float32 and as ltx-core rounds, and the base case with them."""
    whole = Golden(golden.folder, golden.info["weights_file"].split(".")[0])
    half = {k: x.astype(ml_dtypes.bfloat16) for k, x in whole.weights.items()}
    plain = merged_states(golden, whole.weights)
    stepwise = merged_states(golden, half, stepwise=True)
    results: dict = {}
    for name in golden.outputs:
        case, kind, key = (*name.split(".", 2), "")[:3]
        if kind == "merged":
            results[name] = Expect(plain[case][key], atol=1e-6)
        elif kind == "merged_bf16":
            results[name] = Expect(stepwise[case][key], atol=0.0, rtol=_BFLOAT16_STEP)
    graph, state = nnx.split(load_transformer(whole))
    like = nnx.to_pure_dict(state)
    inputs = whole.inputs
    forward = jax.jit(lambda params: _base(nnx.merge(graph, params), inputs))
    for case, merged in plain.items():
        velocities = forward(name_map.load(merged, like, RULES))
        for stream, found in velocities._asdict().items():
            results[f"{case}.{stream}_velocity"] = found
    return results


def _base(model: Transformer, inputs: Mapping[str, Any]) -> Streams:
    """Velocities of the transformer's case without masks or branches."""
    sigma = jnp.asarray(inputs["sigma"])
    return model(
        pair(inputs, "latent"),
        Streams(sigma[:, None], sigma[:, None]),
        None,
        Streams(sigma, sigma),
        model.prepare_context(pair(inputs, "context")),
        tables_of(model.config, inputs),
        branches=tuple(Branch(text=n) for n in range(len(sigma))),
    )
