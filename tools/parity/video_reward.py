"""VideoReward against its goldens."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.nn.pictures import normalise
from avits_jax.verifiers.video_reward.config import (
    DIMENSIONS,
    LORA_SCALE,
    VideoRewardConfig,
    VisionConfig,
)
from avits_jax.verifiers.video_reward.modeling import VideoReward
from avits_jax.verifiers.video_reward.params import (
    build,
    merge_lora,
    video_reward_rules,
)
from avits_jax.verifiers.video_reward.preprocess import (
    cut_patches,
    frame_size,
    prepare_frames,
    resize_frames,
    sample_frames,
    server_frames,
)
from avits_jax.verifiers.video_reward.scores import normalise_rewards, overall
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register
from tools.parity.stored import against, named, stated_stride


def config_of(sizes: dict[str, Any], reward_tokens, vocab_size=None):
    """Our configuration of the reference's constructor arguments."""
    vision = sizes["vision_config"]
    encoder = VisionConfig(
        depth=vision["depth"],
        width=vision["embed_dim"],
        num_heads=vision["num_heads"],
        mlp_ratio=vision["mlp_ratio"],
        patch_size=vision["patch_size"],
        temporal_patch_size=vision["temporal_patch_size"],
        merge_size=vision["spatial_merge_size"],
    )
    return VideoRewardConfig(
        vision=encoder,
        vocab_size=vocab_size or sizes["vocab_size"],
        hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"],
        num_hidden_layers=sizes["num_hidden_layers"],
        num_attention_heads=sizes["num_attention_heads"],
        num_key_value_heads=sizes["num_key_value_heads"],
        rope_theta=sizes["rope_theta"],
        epsilon=sizes["rms_norm_eps"],
        video_token=sizes["video_token_id"],
        reward_tokens=tuple(reward_tokens),
    )


def split_clips(arrays: dict[str, Any]) -> list[tuple[jax.Array, int, int]]:
    """Patches ``[1, T, P, K]`` of each clip, with its rows and columns."""
    grids = [tuple(map(int, grid)) for grid in arrays["video_grid_thw"]]
    ends = np.cumsum([t * h * w for t, h, w in grids])[:-1]
    parts = jnp.split(arrays["pixel_values_videos"], ends)
    return [
        (part.reshape(1, t, h * w, -1), h, w)
        for part, (t, h, w) in zip(parts, grids, strict=True)
    ]


def run_encoder(model: VideoReward, clips) -> tuple[dict[str, Any], jax.Array]:
    """Stages of the vision encoder, and its tokens padded to one length."""
    embedded, hidden, tokens = [], [], []
    for patches, rows, columns in clips:
        embedded.append(model.vision.embed(patches))
        hidden.append(model.vision.hidden(patches, rows, columns))
        tokens.append(model.vision.merge(hidden[-1])[0])

    def flat(parts):
        return jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in parts])

    longest = max(map(len, tokens))
    padded = [jnp.pad(x, ((0, longest - len(x)), (0, 0))) for x in tokens]
    stages = {
        "visual_patch_embed": flat(embedded),
        "visual_last_block": flat(hidden),
        "visual_out": flat(tokens),
    }
    return stages, jnp.stack(padded)


def run_model(model: VideoReward, arrays: dict[str, Any]) -> dict[str, Any]:
    """Every stage."""
    stages, video = run_encoder(model, split_clips(arrays))
    ids = jnp.asarray(arrays["input_ids"])
    hidden = model.hidden(ids, video)
    raw = model.read(hidden, ids)
    return {
        **stages,
        "lm_hidden": hidden * arrays["attention_mask"][..., None],
        "logits": raw,
    }


def released_norm(norm: dict[str, float] | None) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation that a golden states, in our order."""
    if norm is None:
        return {}
    return {
        part: tuple(norm[f"{name}_{part}"] for name in DIMENSIONS)
        for part in ("mean", "std")
    }


@register("videoreward_*", holds=("pixel_values_videos", "input_ids"))
def run_video_reward(golden: Golden) -> dict[str, Expect]:
    """Vision stages, language states, raw and normalised rewards."""
    info, arrays = golden.info, golden.arrays
    tokens = info.get("special_token_ids") or _reward_tokens(
        arrays["input_ids"], info["constructor"]
    )
    config = config_of(info["constructor"], tokens)
    graph, like = build(config)
    scale = info.get("lora", {}).get("scaling", LORA_SCALE)
    state = merge_lora(golden.weights, scale=scale)
    params = weights.load(state, like, video_reward_rules())
    run = jax.jit(lambda params: run_model(nnx.merge(graph, params), arrays))
    results = run(params)
    results["normed"] = normalise_rewards(
        results["logits"], **released_norm(info.get("norm"))
    )
    results["overall"] = overall(results["normed"])
    checks = against(golden, {k: v for k, v in results.items() if k in arrays})
    if "logits_if_3d_mrope" in arrays:
        apart = abs(arrays["logits_if_3d_mrope"] - results["logits"]).max()
        checks["differs_from_3d_mrope"] = Expect(bool(apart > 0.01), True, 0.0)
    return checks


def _reward_tokens(ids: np.ndarray, sizes: dict[str, Any]) -> list[int]:
    """Reward tokens where a golden does not name them.

    They stand in every prompt once, in one order, and are the last that were added to
    the vocabulary.
    """
    others = {value for name, value in sizes.items() if name.endswith("token_id")}
    once = [{int(i) for i in row if np.sum(row == i) == 1} for row in ids]
    common = set.intersection(*once) - others
    last = sorted(common)[-3:]
    return sorted(last, key=ids[0].tolist().index)


@register("manifest_videoreward_*", holds=("tensors.*rm_head.weight",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key is used once, LoRA pairs merged where the layout has them."""
    info = golden.info
    tokens = [info["special_tokens"][f"<|{name}_reward|>"] for name in DIMENSIONS]
    vocab_size = max(tokens) + 1
    like = build(config_of(info["config"], tokens, vocab_size))[1]
    state = merge_lora(
        weights.shapes_of(golden.manifest),
        scale=info.get("lora", {}).get("scaling", LORA_SCALE),
    )
    entries = {key: [list(x.shape), str(x.dtype)] for key, x in state.items()}
    merged = 2 * info.get("lora", {}).get("n_modules", 0)
    return {
        **check_manifest(entries, like, video_reward_rules()),
        "tensors": Expect(len(entries) + merged, info["n_tensors"], 0.0),
        "parameters": Expect(
            sum(x.size for x in jax.tree.leaves(like)),
            sum(info["params_by_part"].values()),
            0.0,
        ),
    }


def frame_checks(case: dict[str, Any]) -> dict[str, Expect]:
    """Frame indices of a clip of T frames."""
    frames = case["T"]
    name = f"frames_{frames}"
    checks = {f"{name}_server": Expect(server_frames(frames), case["its_final"], 0.0)}
    for entry, stated in case.items():
        if found := re.fullmatch(r"official_(n|idx)_at_([\d.]+)fps", entry):
            ours = sample_frames(frames, float(found[2]))
            value = len(ours) if found[1] == "n" else ours
            checks[f"{name}_{entry}"] = Expect(value, stated, 0.0)
    return checks


def channels_last(levels: np.ndarray) -> jax.Array:
    """``[F, 3, H, W]`` grey levels as floats ``[F, H, W, 3]``."""
    return jnp.asarray(levels.transpose(0, 2, 3, 1), jnp.float32)


def resize_checks(golden: Golden) -> dict[str, Expect]:
    """Resized grey levels: nearly all equal, none off by more than one."""
    arrays = golden.arrays
    results = {}
    for source, start in (("src_u8", "resized_u8"), ("big_u8", "big_resized")):
        target = named(arrays, start)
        step = stated_stride(target)
        levels = channels_last(arrays[source])
        ours = np.asarray(resize_frames(levels)).transpose(0, 3, 1, 2)
        off = abs(ours[..., ::step, ::step] - arrays[target])
        results[target] = Expect(off.max(), 0.0, 1.0)
        results[f"{target}_share"] = Expect(np.mean(off > 0), 0.0, 0.005)
    return results


@register("pre_videoreward*", holds=("src_u8", "resized_u8", "frame_cases"))
def run_preprocess(golden: Golden) -> dict[str, Expect]:
    """Frame choice, sizes, resized levels and patches."""
    info, arrays = golden.info, golden.arrays
    constants, stated = info["constants"], info["tol_float32"]
    config = VisionConfig(
        patch_size=constants["patch"],
        temporal_patch_size=constants["temporal_patch"],
        merge_size=constants["merge"],
    )
    results = resize_checks(golden)
    for case in info["frame_cases"]:
        results |= frame_checks(case)
    for case in info["resize_cases"]:
        size = frame_size(case["h"], case["w"])
        name = f"size_{case['h']}x{case['w']}"
        results[name] = Expect(size, case["resized"], 0.0)
    levels = channels_last(arrays["resized_u8"])[None]
    patches = np.asarray(cut_patches(normalise(levels), config))
    rows = patches.reshape(-1, patches.shape[-1])
    picked = rows[arrays["rows"]]
    source = channels_last(arrays["src_u8"])[None]
    whole, *grid = prepare_frames(source, config)
    from_source = np.asarray(whole).reshape(rows.shape)[arrays["rows"]]
    results["pixel_rows"] = Expect(picked, arrays["pixel_rows"], stated["abs"])
    results["pixel_rows_from_src"] = Expect(
        from_source, arrays["pixel_rows"], stated["pixel_rows_from_src"]
    )
    statistics = np.stack([rows.mean(), rows.std()])
    results["pixel_mean_std"] = Expect(
        statistics, arrays["pixel_mean_std"], stated["abs"]
    )
    shape = [[patches.shape[1], *grid]]
    results["grid_thw"] = Expect(shape, arrays["grid_thw"], 0.0)
    return results
