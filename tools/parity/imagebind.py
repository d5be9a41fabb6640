"""ImageBind encoders against their goldens."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from avits_jax.networks.imagebind import params as names
from avits_jax.networks.imagebind.config import EncoderConfig, ImageBindConfig
from avits_jax.networks.imagebind.modeling import ImageBind
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register


def config_of(sizes: dict[str, Any]) -> ImageBindConfig:
    """Our configuration of the reference's constructor arguments."""

    def encoder(name: str, extra_key: bool = False) -> EncoderConfig:
        return EncoderConfig(
            sizes[f"{name}_embed_dim"],
            sizes[f"{name}_num_blocks"],
            sizes[f"{name}_num_heads"],
            extra_key,
        )

    return ImageBindConfig(
        vision=encoder("vision"),
        audio=encoder("audio", extra_key=True),
        text=encoder("text"),
        embed_dim=sizes["out_embed_dim"],
        image_size=sizes["img_size"],
        patch_size=sizes["kernel_size"][1],
        num_frames=sizes["kernel_size"][0],
        mel_bins=sizes["audio_num_mel_bins"],
        mel_frames=sizes["audio_target_len"],
        audio_patch=sizes["audio_kernel_size"],
        audio_stride=sizes["audio_stride"],
        vocab_size=sizes["text_vocab_size"],
        context_length=sizes["text_context_length"],
    )


def load(golden: Golden) -> ImageBind:
    """The network with the golden's weights."""
    graph, like = names.build(config_of(golden.info["constructor"]))
    return nnx.merge(
        graph, weights.load(golden.weights, like, names.RULES, names.IGNORED)
    )


def fold(x: jax.Array) -> jax.Array:
    """``[B, S, ...]`` to ``[B * S, ...]``."""
    return x.reshape(-1, *x.shape[2:])


def run_model(model: ImageBind, arrays: dict[str, jax.Array]) -> dict[str, Any]:
    """All stages of the three encoders, several clips of one item averaged."""
    # The reference has time before height and channels before time.
    frames = arrays["frames_in"].transpose(0, 2, 3, 1)[:, None]
    clips = fold(arrays["clips_in"]).transpose(0, 2, 3, 4, 1)
    mel, ids = fold(arrays["audio_in"])[:, 0], arrays["text_in"]
    vision, audio, text = model.vision, model.audio, model.text
    hidden = {
        "vision": vision.hidden(clips),
        "audio": audio.hidden(mel),
        "text": text.hidden(ids),
    }

    def mean(x, batch):
        return x.reshape(batch, -1, x.shape[-1]).mean(1)

    return {
        "frames_embed": vision(frames),
        "vision_tokens": vision.tokens(clips),
        "audio_tokens": audio.tokens(mel),
        "text_tokens": text.tokens(ids),
        **{f"{encoder}_trunk_out": value for encoder, value in hidden.items()},
        "vision_head_out": vision.project(hidden["vision"]),
        "audio_head_out": audio.project(hidden["audio"]),
        "text_head_out": text.project(hidden["text"], ids),
        "clips_embed": mean(vision(clips), len(arrays["clips_in"])),
        "audio_embed": mean(audio(mel), len(arrays["audio_in"])),
        "text_embed": text(ids),
    }


@register("imagebind_*", holds=("frames_in", "clips_in", "audio_in", "text_in"))
def run_encoders(golden: Golden) -> dict[str, Expect]:
    """Every stored stage of the three encoders."""
    graph, state = nnx.split(load(golden))
    arrays, stated = golden.arrays, golden.info["tol_float32"]
    inputs = {name: jnp.asarray(x) for name, x in arrays.items() if "_in" in name}
    results = jax.jit(lambda state: run_model(nnx.merge(graph, state), inputs))(state)

    def atol(name: str) -> float:
        if name.endswith("tokens"):
            return stated["tokens_abs"]
        scaled = name in ("audio_embed", "text_embed")
        return stated["audio_text_embed_abs" if scaled else "abs"]

    return {
        name: Expect(value, arrays[name], atol(name), stated["rel"])
        for name, value in results.items()
    }


@register("manifest_imagebind*", holds=("tensors.modality_trunks.vision.*",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    _, like = names.build(ImageBindConfig())
    return check_manifest(golden.manifest, like, names.RULES, names.IGNORED)
