"""JavisDiT's transformer against its goldens, block by block."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.modeling import Context, Transformer
from avits_jax.generators.javisdit.params import TRANSFORMER_RULES
from avits_jax.nn.abstract import abstract
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.modules import (
    channels_first,
    channels_last,
    load_module,
    run_compiled,
)
from tools.parity.registry import register

# The original's name of each stack of blocks.
_BLOCKS = {
    "spatial_blocks.{}": "video_spatial",
    "temporal_blocks.{}": "video_temporal",
    "audio_spatial_blocks.{}": "audio_spatial",
    "audio_temporal_blocks.{}": "audio_temporal",
    "video_st_prior_blocks.{}": "video_prior",
    "audio_st_prior_blocks.{}": "audio_prior",
    "va_cross_blocks.{}.video": "exchange_video",
    "va_cross_blocks.{}.audio": "exchange_audio",
}


def transformer_config(config: Mapping[str, Any]) -> TransformerConfig:
    """Our configuration from the original's."""
    return TransformerConfig(
        video_channels=config["in_channels"],
        audio_channels=config["audio_in_channels"],
        video_patch=tuple(config["patch_size"]),
        audio_patch=tuple(config["audio_patch_size"]),
        width=config["hidden_size"],
        depth=config["depth"],
        heads=config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        text_width=config["caption_channels"],
        text_length=config["model_max_length"],
        prior_width=config["st_prior_channel"],
        spatial_tokens=config["spatial_prior_len"],
        temporal_tokens=config["temporal_prior_len"],
        base_size=config["input_sq_size"],
    )


def load_transformer(golden: Golden) -> Transformer:
    """The transformer with the golden's weights."""
    config = transformer_config(golden.info["config"])
    return load_module(
        golden, lambda rngs: Transformer(config, rngs=rngs), TRANSFORMER_RULES
    )


def prepare(model: Transformer, inputs: Mapping[str, np.ndarray]) -> Context:
    """Context of a golden's text and priors, which the original couples in a batch."""
    text, kept = inputs["y"][:, 0], inputs.get("mask")
    mask = None
    if kept is not None:
        # One mask serves the rows with the prompt and those without.
        mask = jnp.tile(jnp.asarray(kept != 0), (len(text) // len(kept), 1))
    return model.prepare(
        jnp.asarray(text),
        mask,
        jnp.asarray(inputs["spatial_prior"]),
        jnp.asarray(inputs["temporal_prior"]),
        prior_scope="batch",
    )


def _embedders(model: Transformer, inputs: Mapping[str, np.ndarray]) -> dict:
    """Outputs of the embedders, under the original's names."""
    text = jnp.asarray(inputs["y"])
    condition = model.condition(
        jnp.asarray(inputs["timestep"]), jnp.asarray(inputs["fps"])
    )
    shared = [rows.reshape(len(text), -1) for rows in model.modulations(condition)]
    priors = model.embed_priors(
        jnp.asarray(inputs["spatial_prior"]), jnp.asarray(inputs["temporal_prior"])
    )
    return {
        "y_embedder": model.video_text(text),
        "audio_y_embedder": model.audio_text(text),
        "t_embedder": model.time(jnp.asarray(inputs["timestep"])),
        "fps_embedder": model.fps(jnp.asarray(inputs["fps"])),
        "t_block": shared[0],
        "st_t_block": shared[1],
        "st_prior_embedder": jnp.concatenate(priors, 1)[:, None],
    }


def _intermediates(model: Transformer, golden: Golden, kept: dict) -> dict:
    """Everything that the golden may hold under ``inter.``."""
    found = _embedders(model, golden.inputs)
    position = {"x_embedder": "video_in", "ax_embedder": "audio_in"}
    finals = {"final_layer": "video_final", "audio_final_layer": "audio_final"}
    for theirs, ours in finals.items():
        found[theirs] = _flat(kept[ours])
    for theirs, ours in position.items():
        # The original's embedder does not add positions.
        stored = golden.outputs.get(f"inter.{theirs}")
        if stored is not None:
            found[theirs] = _flat(_without_positions(model, ours, golden))
    for theirs, ours in _BLOCKS.items():
        for level in range(model.config.depth):
            found[theirs.format(level)] = _flat(kept[ours][level])
    return {f"inter.{name}": value for name, value in found.items()}


def _without_positions(model: Transformer, name: str, golden: Golden):
    """Patch embedding alone, of zero-padded latents."""
    layer = getattr(model, name)
    stream = "video" if name == "video_in" else "audio"
    latents = channels_last(golden.inputs[stream])
    patch = layer.kernel.shape[:-2]
    sizes = zip(latents.shape[1:-1], patch, strict=True)
    margins = [(0, -size % step) for size, step in sizes]
    return layer(jnp.pad(latents, [(0, 0), *margins, (0, 0)]))


def _flat(tokens: jax.Array) -> jax.Array:
    """``[B, ..., D]`` to ``[B, L, D]``."""
    return tokens.reshape(len(tokens), -1, tokens.shape[-1])


@register("vastdit3_*", holds=("in.video", "in.audio", "in.timestep"))
def run_transformer(golden: Golden) -> dict:
    """Predictions, and every intermediate that the golden holds."""
    model = load_transformer(golden)
    inputs = golden.inputs
    masks = [
        jnp.asarray(inputs[name] != 0) if name in inputs else None
        for name in ("x_mask", "ax_mask")
    ]
    timesteps = jnp.asarray(inputs["timestep"])
    clip = {"height": float(inputs["height"][0]), "width": float(inputs["width"][0])}

    def forward(model, video, audio, timesteps, fps):
        outputs, kept = model.trace(
            video,
            audio,
            timesteps,
            prepare(model, inputs),
            fps=fps,
            video_mask=masks[0],
            audio_mask=masks[1],
            **clip,
        )
        return outputs, _intermediates(model, golden, kept)

    (video, audio), inter = run_compiled(
        forward,
        model,
        channels_last(inputs["video"]),
        channels_last(inputs["audio"]),
        timesteps,
        jnp.broadcast_to(inputs["fps"], timesteps.shape),
    )
    results = {"video": channels_first(video), "audio": channels_first(audio)}
    return results | {k: v for k, v in inter.items() if k in golden.outputs}


@register("manifest_vastdit3*", holds=("state_dict.va_cross_blocks.0.gamma_m1",))
def run_transformer_manifest(golden: Golden) -> dict:
    """Keys of the full-size transformer."""
    config = TransformerConfig()
    like = abstract(lambda rngs: Transformer(config, rngs=rngs))[1]
    return check_manifest(golden.manifest, like, TRANSFORMER_RULES)
