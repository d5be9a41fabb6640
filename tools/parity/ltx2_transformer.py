"""LTX-2's transformer, positions and float8 weights against their goldens."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from flax import nnx

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer import positions
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.generators.ltx2.transformer.config import StreamConfig, TransformerConfig
from avits_jax.generators.ltx2.transformer.modeling import Transformer
from avits_jax.generators.ltx2.transformer.params import FLOAT8, RULES
from avits_jax.generators.ltx2.transformer.rotary import Tables, rotary_tables
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights import name_map
from tools.parity.checks import Expect
from tools.parity.golden import Golden, strip_prefix
from tools.parity.manifests import check_manifest
from tools.parity.modules import (
    channels_first,
    channels_last,
    load_module,
    run_compiled,
)
from tools.parity.registry import register

E4M3 = ml_dtypes.float8_e4m3fn


def transformer_config(
    given: Mapping[str, Any], perturbed: int = 0
) -> TransformerConfig:
    """Our configuration from the original's constructor."""

    def stream(prefix: str) -> StreamConfig:
        return StreamConfig(
            channels=given.get(f"{prefix}in_channels", 128),
            heads=given[f"{prefix}num_attention_heads"],
            head_width=given[f"{prefix}attention_head_dim"],
            limits=tuple(map(float, given[f"{prefix}positional_embedding_max_pos"])),
        )

    modulated = given.get("cross_attention_adaln", False)
    return TransformerConfig(
        stream(""),
        stream("audio_"),
        depth=given["num_layers"],
        caption_width=0 if modulated else given["caption_channels"],
        gated=given.get("apply_gated_attention", False),
        text_modulated=modulated,
        perturbed_block=perturbed,
        theta=given["positional_embedding_theta"],
        time_scale=float(given["timestep_scale_multiplier"]),
        gate_time_scale=float(given["av_ca_timestep_scale_multiplier"]),
        epsilon=given["norm_eps"],
    )


def load_transformer(golden: Golden) -> Transformer:
    """The transformer with the golden's weights."""
    found = re.search(r"in block (\d+)", golden.info["cases"].get("stg", ""))
    config = transformer_config(
        golden.info["constructor"], int(found[1]) if found else 0
    )
    return load_module(golden, lambda rngs: Transformer(config, rngs=rngs), RULES)


def pair(inputs: Mapping[str, Any], name: str) -> Streams:
    """What a golden holds of both streams under a name."""
    return Streams(*(jnp.asarray(inputs[f"{each}_{name}"]) for each in Streams._fields))


def tables_of(config: TransformerConfig, inputs: Mapping[str, Any]) -> Tables:
    """Rotary tables of the positions that all rows have."""
    found = [np.asarray(each) for each in pair(inputs, "positions")]
    if any((each != each[:1]).any() for each in found):
        raise ValueError("rows have different positions")
    return rotary_tables(config, *(each[0].swapaxes(0, 1) for each in found))


def distinct_levels(mask: np.ndarray, sigma: np.ndarray) -> tuple[Any, Any]:
    """Different levels of tokens at sigma times a mask, and which each token has."""
    distinct, level_of = np.unique(mask, axis=1, return_inverse=True)
    return distinct * sigma[:, None], jnp.asarray(level_of.reshape(-1), jnp.int32)


class Traced(NamedTuple):
    """Cases of a golden as rows of one batch, as NumPy arrays.

    Attributes:
        cases: names; a case has as many rows as the golden, those of "base" come first.
        velocities, conditions, blocks: what `Transformer.trace` returns.
        tables: of the positions.
        texts: text states as the blocks read them.
    """

    cases: tuple[str, ...]
    velocities: Streams
    conditions: Streams
    blocks: Streams
    tables: Tables
    texts: Streams


_BRANCHES = {
    "base": Branch(),
    "i2v": Branch(),
    "stg": Branch(perturbed=True),
    "isolate": Branch(isolated=True),
}


def run_rows(model: Transformer, inputs: Mapping[str, Any]) -> Traced:
    """All cases without masks; in each, row n reads prompt n."""
    sigma, audio_sigma = (np.asarray(inputs[k]) for k in ("sigma", "sigma_audio_i2v"))
    cases = tuple(_BRANCHES)
    branches = tuple(
        branch._replace(text=n)
        for branch in _BRANCHES.values()
        for n in range(len(sigma))
    )
    given = np.asarray(inputs["i2v_denoise_mask"])
    masks = [given if case == "i2v" else np.ones_like(given) for case in cases]
    audio = [audio_sigma if case == "i2v" else sigma for case in cases]
    sigmas = Streams(np.tile(sigma, len(cases)), np.concatenate(audio))
    levels, level_of = distinct_levels(np.concatenate(masks), sigmas.video)

    def forward(model, latents, contexts, levels, sigmas):
        tables = tables_of(model.config, inputs)
        found = model.trace(
            jax.tree.map(lambda x: jnp.tile(x, (len(cases), 1, 1)), latents),
            Streams(levels, sigmas.audio[:, None]),
            Streams(level_of, None),
            sigmas,
            model.prepare_context(contexts),
            tables,
            branches=branches,
        )
        texts = Streams(model.video.text(contexts[0]), model.audio.text(contexts[1]))
        return *found, tables, texts

    latents, contexts = pair(inputs, "latent"), pair(inputs, "context")
    found = run_compiled(forward, model, latents, contexts, levels, sigmas)
    return Traced(cases, *jax.tree.map(np.asarray, found))


def run_masked(model: Transformer, inputs: Mapping[str, Any]) -> Streams:
    """Velocities of the base case with masks."""
    sigma = jnp.asarray(inputs["sigma"])
    branches = tuple(Branch(text=n) for n in range(len(sigma)))
    mask = jnp.asarray(inputs["context_mask"] != 0)

    def forward(model, latents, contexts, sigma, weights):
        return model(
            latents,
            Streams(sigma[:, None], sigma[:, None]),
            None,
            Streams(sigma, sigma),
            model.prepare_context(contexts, mask),
            tables_of(model.config, inputs),
            branches=branches,
            self_weights=weights,
        )

    latents, contexts = pair(inputs, "latent"), pair(inputs, "context")
    weights = jnp.asarray(inputs["video_self_attention_mask"])
    return run_compiled(forward, model, latents, contexts, sigma, weights)


def _intermediates(traced: Traced, rows: int) -> dict[str, Any]:
    """What the golden may hold of its base case, by the original's names."""
    results: dict = {}
    for stream in Streams._fields:
        condition, kept = (
            getattr(traced.conditions, stream),
            getattr(traced.blocks, stream),
        )
        across = condition.across[:rows]
        results |= {
            f"{stream}_velocity": getattr(traced.velocities, stream)[:rows],
            f"embedded_timestep.{stream}": condition.embedded[:rows, -1:],
            f"cross_scale_shift.{stream}": across[:, :4].reshape(rows, 1, -1),
            f"cross_gate.{stream}": across[:, 4:],
            f"context.{stream}": getattr(traced.texts, stream),
        }
        results |= {f"block{i}.{stream}": each[:rows] for i, each in enumerate(kept)}
        for name, turns in {
            stream: getattr(traced.tables.within, stream),
            f"cross_{stream}": getattr(traced.tables.across, stream),
        }.items():
            for wave, table in turns._asdict().items():
                heads_first = np.swapaxes(table, 0, 1)[None]
                results[f"rope.{name}.{wave}"] = np.repeat(heads_first, rows, 0)
    return results


@register("av_transformer_2*", holds=("in.video_latent", "in.i2v_denoise_mask"))
def run_transformer(golden: Golden) -> dict:
    """Velocities of all cases, and what the golden holds of the base case."""
    model, inputs = load_transformer(golden), golden.inputs
    traced, rows = run_rows(model, inputs), len(inputs["sigma"])
    by_case = {"masks": run_masked(model, inputs)}
    for index, case in enumerate(traced.cases):
        own = slice(index * rows, (index + 1) * rows)
        by_case[case] = Streams(*(each[own] for each in traced.velocities))
    pairs = zip(by_case["stg"], by_case["base"], strict=True)
    by_case["stg_mixed"] = Streams(
        *(np.concatenate([one[:1], rest[1:]]) for one, rest in pairs)
    )
    mine = _intermediates(traced, rows)
    usual = [golden.info["tolerance"][name] for name in ("atol", "rtol")]
    results: dict = {}
    for name, expected in golden.under("base.").items():
        # Turns are formed as the original's: phases in float64 would be 5e-4 away.
        tolerance = [1e-6] if name.startswith("rope.") else usual
        results[f"base.{name}"] = Expect(mine[name], expected, *tolerance)
    for name in golden.outputs:
        case, stream = name.removesuffix("_velocity").split(".")
        results[name] = getattr(by_case[case], stream)
    return results


def check_transformer(golden: Golden) -> dict[str, Expect]:
    """Keys of the full-size transformer in the manifest of a whole model."""
    config = transformer_config(golden.info["meta"]["config"]["transformer"])
    like = abstract(lambda rngs: Transformer(config, rngs=rngs))[1]
    keys = strip_prefix(golden.manifest["av_transformer"], "model.diffusion_model.")
    return check_manifest(keys, like, RULES)


def is_float8(path: str) -> bool:
    """Whether a weight of a path, its parts joined by "/", is stored in float8."""
    return any(re.fullmatch(pattern, path) for pattern in FLOAT8)


def only_float8(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The part of a tree that may be stored in float8."""
    found = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            if inner := only_float8(value, f"{path}{name}/"):
                found[name] = inner
        elif is_float8(path + name):
            found[name] = value
    return found


def cast_float8(params: Any, path: str = "") -> Any:
    """Round the weights of a tree that may be stored in float8."""
    if isinstance(params, Mapping):
        return {k: cast_float8(v, f"{path}/{k}") for k, v in params.items()}
    return np.asarray(params).astype(E4M3) if is_float8(path[1:]) else params


@register("fp8_cast*", holds=("in.round_values", "out.round_bytes"))
def run_float8(golden: Golden) -> dict:
    """The base case with weights in float8, and how they are rounded."""
    inputs = golden.inputs
    rounded = np.asarray(inputs["round_values"]).astype(E4M3)
    name = golden.info["weights_file"].split(".")[0]
    whole = Golden(golden.folder, name)
    graph, state = nnx.split(load_transformer(whole))
    params = cast_float8(nnx.to_pure_dict(state))
    model = nnx.merge(graph, params)
    traced = run_rows(model, whole.inputs)
    mine = _intermediates(traced, len(whole.inputs["sigma"]))
    fused = _with_lora(golden, whole)
    return {
        "round_bytes": Expect(rounded.view(np.uint8), None, 0.0),
        "round_float": Expect(rounded.astype(np.float32), None, 0.0),
        "lora_fused_bytes": Expect(fused.view(np.uint8), None, 0.0),
        "lora_fused_float": Expect(fused.astype(np.float32), None, 0.0),
        **{k: v for k, v in mine.items() if k in golden.outputs},
        **_stored_bytes(golden, params),
    }


def _stored_bytes(golden: Golden, params: PyTree) -> dict[str, Expect]:
    """Bytes of the blocks that the golden holds after rounding."""
    suffix = ".e4m3_bytes"
    stored = {
        key.removesuffix(suffix): value
        for key, value in golden.weights.items()
        if key.endswith(suffix)
    }
    mine = jax.tree.map(lambda x: x[:1].view(np.uint8), only_float8(params))
    wanted = name_map.load(stored, mine, RULES)
    flat = jax.tree_util.tree_leaves_with_path(mine)
    pairs = zip(flat, jax.tree.leaves(wanted), strict=True)
    return {
        name_map.path_of(path): Expect(own, other, 0.0) for (path, own), other in pairs
    }


def _with_lora(golden: Golden, whole: Golden) -> np.ndarray:
    """The first block's MLP with a LoRA in bfloat16 added to its rounded weights."""
    key = "transformer_blocks.0.ff.net.0.proj.weight"
    low, high = (
        np.asarray(golden.inputs[name]).astype(ml_dtypes.bfloat16).astype(np.float32)
        for name in ("lora_A", "lora_B")
    )
    delta = (high @ low).astype(ml_dtypes.bfloat16)
    stored = whole.weights[key].astype(E4M3).astype(ml_dtypes.bfloat16)
    return (stored + delta).astype(E4M3)


@register("positions_and_packing*", holds=("in.pack.video_latent", "out.a.*"))
def run_positions(golden: Golden) -> dict:
    """Positions of tokens of all cases, and latents as tokens and back."""
    results: dict = {}
    for case, words in golden.info["cases"].items():
        frames, height, width, fps = map(int, re.findall(r"\d+", words))
        rows, columns = height // positions.SPACE, width // positions.SPACE
        grid = (frames - 1) // positions.TIME + 1, rows, columns
        count = positions.audio_count(frames, fps)
        found = {
            "video_positions_f32": positions.video_positions(grid, fps),
            "video_positions_bf16": positions.video_positions(grid, fps, rounded=True),
            "audio_positions": positions.audio_positions(count),
        }
        results[f"{case}.audio_frames"] = count
        for name, each in found.items():
            results[f"{case}.{name}"] = each.swapaxes(0, 1)[None]
    video, audio = (golden.inputs[f"pack.{each}_latent"] for each in Streams._fields)
    latents, bins = channels_last(video), channels_last(audio)
    tokens = positions.pack_video(latents), positions.pack_audio(bins)
    frames, rows, columns = latents.shape[1:4]
    back = positions.unpack_video(tokens[0], (frames, rows, columns))
    results["unpacked video"] = Expect(channels_first(back), video, 0.0)
    back = positions.unpack_audio(tokens[1], bins.shape[2])
    results["unpacked audio"] = Expect(channels_first(back), audio, 0.0)
    return results | {"pack.video_tokens": tokens[0], "pack.audio_tokens": tokens[1]}
