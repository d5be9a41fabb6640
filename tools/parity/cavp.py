"""CAVP against its goldens."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from avits_jax.metrics.cavp.config import CavpConfig
from avits_jax.metrics.cavp.modeling import Cavp
from avits_jax.metrics.cavp.params import IGNORED, RULES, build
from avits_jax.metrics.cavp.preprocess import spectrogram
from avits_jax.metrics.cavp.scores import cavp_score
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden, strip_prefix
from tools.parity.manifests import check_manifest
from tools.parity.recipes import toleranced
from tools.parity.registry import register


def config_of(sizes: dict[str, Any]) -> CavpConfig:
    """Our configuration of the reference's constructor arguments."""
    return CavpConfig(
        base=sizes["base"],
        stage_blocks=tuple(sizes["stage_blocks"]),
        mel_bins=sizes["mel"],
        widths=tuple(sizes["widths"]),
        embed_dim=sizes["embed"],
    )


def run_model(model: Cavp, video: jax.Array, spec: jax.Array) -> dict[str, jax.Array]:
    """Features of both encoders, and their score."""
    frames, sound = model.video_features(video), model.sound_features(spec)
    return {
        "mid.spec_raw": model.audio(jnp.swapaxes(spec, 1, 2)),
        "out.video_features": frames,
        "out.spec_features": sound,
        "out.cavp_score": cavp_score(frames, sound)[0],
    }


@register("cavp_*", holds=("in.video", "in.spec", "out.spec_features"))
def run_cavp(golden: Golden) -> dict[str, Expect]:
    """Features of both encoders, and their score."""
    graph, like = build(config_of(golden.info["constructor"]))
    params = weights.load(golden.weights, like, RULES, IGNORED)
    video = jnp.moveaxis(golden.inputs["video"], 2, -1)
    run = jax.jit(lambda p, *clip: run_model(nnx.merge(graph, p), *clip))
    return toleranced(golden, run(params, video, golden.inputs["spec"]))


@register("manifest_cavp*", holds=("tensors.spec_encoder.fc1.weight",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    return check_manifest(golden.manifest, build(CavpConfig())[1], RULES, IGNORED)


@register("pre_cavp*", holds=("in.pcm_*", "in.seconds", "out.spec_*"))
def run_preprocess(golden: Golden) -> dict[str, Expect]:
    """Spectrograms of sounds that are too long and too short."""
    seconds, atol = int(golden.inputs["seconds"]), golden.info["tol_float32_abs"]
    checks = {}
    for name, pcm in strip_prefix(golden.inputs, "pcm_").items():
        sound = jnp.asarray(pcm, jnp.float32) / 32_768.0
        bands = len(golden.outputs[f"spec_{name}"])
        ours = spectrogram(sound, seconds, bands)
        checks[f"spec_{name}"] = Expect(ours, None, atol["spec"])
    return checks
