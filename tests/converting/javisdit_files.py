"""JavisDiT's weights as they are published, tiny."""

import numpy as np
from goldens import golden_cases
from network_helpers import random_params
from safetensors.numpy import save_file
from torch_files import tensors, write_torch

from avits_jax.generators.javisdit.parts import PARTS
from avits_jax.networks.t5.modeling import T5Config
from tools.parity import javisdit_prior as prior
from tools.parity import javisdit_transformer as transformer
from tools.parity import javisdit_vae as vae


def t5_state(config):
    """A random T5 encoder under its published names."""
    like = {part.name: part for part in PARTS}["t5"].build(config)[1]
    tree = random_params(like)
    layers, state = tree["encoder"]["layers"], {}
    for i in range(config.num_layers):
        base = f"encoder.block.{i}.layer."
        for name, kernel in layers["attention"].items():
            state[f"{base}0.SelfAttention.{name}.weight"] = kernel["kernel"][i].T
        for name, kernel in layers["feed"].items():
            state[f"{base}1.DenseReluDense.{name}.weight"] = kernel["kernel"][i].T
        state[f"{base}0.layer_norm.weight"] = layers["attention_norm"]["scale"][i]
        state[f"{base}1.layer_norm.weight"] = layers["feed_norm"]["scale"][i]
    table = tree["encoder"]["position"]["table"]["embedding"]
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    state |= {first: table, "shared.weight": tree["embed"]["embedding"]}
    state["encoder.final_layer_norm.weight"] = tree["encoder"]["norm"]["scale"]
    state["encoder.embed_tokens.weight"] = state["shared.weight"]
    return tree, {k: np.ascontiguousarray(v) for k, v in state.items()}


def write_downloads(source):
    """Write all parts of JavisDiT, tiny, in folders as published.

    Returns their sizes and state dicts.
    """
    names = {
        "transformer": "vastdit3_tiny",
        "prior": "stib_prior_tiny",
        "video_vae": "opensora_vae_tiny",
        "audio_vae": "audio_decode_tiny",
    }
    cases = {case.id: case.values[0] for case in golden_cases("javisdit")}
    golden = {part: cases[name] for part, name in names.items()}
    info = {part: each.info["config"] for part, each in golden.items()}
    sizes = {
        "transformer": transformer.transformer_config(info["transformer"]),
        "prior": prior.prior_config(info["prior"]),
        "video_vae": vae.VideoVaeConfig(
            vae.kl_config(info["video_vae"]["autoencoder"]),
            vae.temporal_config(info["video_vae"]["temporal"]),
        ),
        "audio_vae": vae.AudioVaeConfig(
            vae.kl_config(info["audio_vae"]["vae"]),
            vae.hifigan_config(info["audio_vae"]["vocoder"]),
        ),
        "t5": T5Config(64, 16, 8, 32, 3, 3, 2),
    }
    state = {part: dict(each.weights) for part, each in golden.items()}
    state["t5"] = t5_state(sizes["t5"])[1]
    for part in ("transformer", "video_vae", "t5"):
        (source / part).mkdir(parents=True)
        save_file(state[part], source / part / "model.safetensors")
    (source / "t5" / "spiece.model").write_bytes(b"words")
    (source / "prior").mkdir()
    write_torch(source / "prior" / "model.pth", tensors(state["prior"]))
    for part in ("vae", "vocoder"):
        own = weights_under(state["audio_vae"], f"{part}.")
        folder = source / "audioldm2" / part
        folder.mkdir(parents=True)
        save_file(own, folder / "diffusion_pytorch_model.safetensors")
    return sizes, state


def weights_under(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
