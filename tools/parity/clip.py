"""CLIP's encoders and pictures against their goldens."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from safetensors.numpy import load_file

from avits_jax.networks.clip import params as names
from avits_jax.networks.clip.config import ClipConfig, TextConfig, VisionConfig
from avits_jax.networks.clip.modeling import Clip
from avits_jax.nn.pictures import normalise
from avits_jax.nn.resize import square_levels
from avits_jax.verifiers.clip.modes import bench_pictures
from avits_jax.verifiers.clip.scores import frame_cosines
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register
from tools.parity.stored import found_stride

_HEAD = 64  # features of a vision head, whatever the width


def config_of(sizes: dict[str, Any]) -> ClipConfig:
    """Our configuration of the reference's constructor arguments."""
    vision, text = sizes["width"], sizes["text_width"]
    return ClipConfig(
        vision=VisionConfig(
            width=vision,
            depth=sizes["layers"],
            heads=sizes.get("heads", vision // _HEAD),
            hidden=4 * vision,
            image_size=sizes["image"],
            patch_size=sizes["patch"],
        ),
        text=TextConfig(
            width=text,
            depth=sizes["text_layers"],
            heads=sizes["text_heads"],
            hidden=4 * text,
            vocab_size=sizes["vocab"],
            context_length=sizes["context"],
        ),
        embed_dim=sizes["embed"],
    )


def run_model(model: Clip, arrays: dict[str, Any]) -> dict[str, Any]:
    """Features of both encoders, cosines and scores."""
    frames = jnp.moveaxis(jnp.asarray(arrays["in.frames"]), 2, -1)
    images = model.embed_images(frames.reshape(-1, *frames.shape[2:]))
    images = images.reshape(*frames.shape[:2], -1)
    text = model.embed_texts(jnp.asarray(arrays["in.input_ids"]))
    cosines = frame_cosines(images, text)
    return {
        "mid.image_features": images,
        "mid.text_features": text,
        "out.frame_cosine": cosines,
        "out.clip_score": jnp.mean(cosines, -1),
    }


def layouts(golden: Golden) -> dict[str, Any]:
    """State dicts with the golden's weights, by the layout of their names."""
    found = {"": golden.weights}
    other = golden.folder / f"{golden.name}_openai.weights.safetensors"
    return found | ({"openai_": load_file(other)} if other.exists() else {})


@register("clip_vit*", holds=("in.frames", "in.input_ids", "out.clip_score"))
def run_encoders(golden: Golden) -> dict[str, Expect]:
    """Every stored stage, with the weights under either set of names."""
    arrays, stated = golden.arrays, golden.info["tol_float32_abs"]
    graph, like = names.build(config_of(golden.info["constructor"]))
    run = jax.jit(lambda params: run_model(nnx.merge(graph, params), arrays))
    checks = {}
    for layout, state in layouts(golden).items():
        results = run(weights.load(state, like, names.RULES, names.IGNORED))
        for name, value in results.items():
            short = name.removeprefix("out.")
            checks[layout + short] = Expect(value, arrays[name], stated[short])
    return checks


@register(
    "manifest_clip_vit*hf*",
    holds=("tensors.vision_model.pre_layrnorm.weight", "tensors.text_projection.*"),
)
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    return published(golden)


def published(golden: Golden) -> dict[str, Expect]:
    """Keys and number of parameters of a published file."""
    like = names.build(ClipConfig())[1]
    own = sum(leaf.size for leaf in jax.tree.leaves(like))
    scale = golden.manifest["logit_scale"][0] == []
    return {
        **check_manifest(golden.manifest, like, names.RULES, names.IGNORED),
        "parameters": Expect(own + scale, golden.info["n_params"], 0.0),
    }


@register(
    "manifest_clip_vit*openai*",
    holds=("tensors.visual.ln_pre.weight", "tensors.visual.proj"),
)
def run_openai_manifest(golden: Golden) -> dict[str, Expect]:
    """The same for OpenAI's names."""
    return published(golden)


@register("pre_clip*", holds=("in.frame*", "out.crop*", "out.correct*_sub8"))
def run_pictures(golden: Golden) -> dict[str, Expect]:
    """Squares of whole levels, and normalised, red and blue in either order."""
    arrays, stated = golden.arrays, golden.info["tol_float32_abs"]
    checks = {}
    for number in (name.removeprefix("frame") for name in golden.inputs):
        levels = jnp.asarray(arrays[f"in.frame{number}"], jnp.float32)
        crop = arrays[f"out.crop{number}"]
        side = len(crop)
        ours = square_levels(levels, side)
        checks[f"crop{number}"] = Expect(ours, crop, stated["crop"])
        for name, pictures in (
            ("correct", normalise(ours)),
            ("bench", bench_pictures(levels / 255.0, side)),
        ):
            stored = arrays[f"out.{name}{number}_sub8"]
            step = found_stride(side, stored.shape[-1])
            thinned = jnp.moveaxis(pictures, -1, 0)[:, ::step, ::step]
            expected = Expect(thinned, stored, stated["sub8"])
            checks[f"{name}{number}_sub8"] = expected
    return checks
