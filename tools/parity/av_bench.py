"""The sound networks of av-benchmark against their goldens."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from avits_jax.metrics.cnn14 import params as cnn14
from avits_jax.metrics.cnn14.config import Cnn14Config
from avits_jax.metrics.cnn14.preprocess import log_mel
from avits_jax.metrics.passt import params as passt
from avits_jax.metrics.passt.config import PasstConfig
from avits_jax.metrics.passt.preprocess import log_mel as passt_mel
from avits_jax.metrics.vggish import params as vggish
from avits_jax.metrics.vggish.config import VggishConfig
from avits_jax.metrics.vggish.preprocess import pieces
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register


def expected(golden: Golden, results: Mapping[str, Any]) -> dict[str, Expect]:
    """Compare each result at the tolerance that the golden states for it."""
    stated, arrays = golden.info["tol_float32_abs"], golden.arrays
    return {
        name: Expect(x, arrays[name if name in arrays else f"out.{name}"], stated[name])
        for name, x in results.items()
    }


def cnn14_config(golden: Golden) -> Cnn14Config:
    """Our sizes of the reference's constructor arguments."""
    sizes = golden.info["constructor"]
    return Cnn14Config(tuple(sizes["widths"]), sizes["classes"])


@register("panns_cnn14*", holds=("mid.logmel", "out.feature_2048", "out.logits"))
def run_cnn14(golden: Golden) -> dict[str, Expect]:
    """Spectrogram, features and logits, and the table of mel filters."""
    graph, like = cnn14.build(cnn14_config(golden))
    params = weights.load(golden.weights, like, cnn14.RULES, cnn14.IGNORED)

    @jax.jit
    def run(params, wave):
        mel = log_mel(wave)
        heard = nnx.merge(graph, params)(mel)
        return {
            "mid.logmel": mel[:, None],
            "feature_2048": heard.features,
            "logits": heard.logits,
        }

    return expected(golden, run(params, golden.inputs["wave"]))


@register("manifest_panns*", holds=("tensors.conv_block1.conv1.weight",))
def run_cnn14_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of Cnn14's file is used once or left out on purpose."""
    like = cnn14.build(Cnn14Config())[1]
    return check_manifest(golden.manifest, like, cnn14.RULES, cnn14.IGNORED)


def vggish_config(golden: Golden) -> VggishConfig:
    """Our sizes of the reference's constructor arguments."""
    sizes = golden.info["constructor"]
    stages: list[list[int]] = [[]]
    for entry in sizes["plan"]:
        if entry == "M":
            stages.append([])
        else:
            stages[-1].append(entry)
    *whole, _ = stages
    return VggishConfig(tuple(map(tuple, whole)), sizes["hidden"], sizes["embed"])


@register("vggish_*", holds=("mid.examples", "out.embeddings"))
def run_vggish(golden: Golden) -> dict[str, Expect]:
    """Pieces of the spectrogram, and their features."""
    graph, like = vggish.build(vggish_config(golden))
    params = weights.load(golden.weights, like, vggish.RULES, vggish.IGNORED)

    @jax.jit
    def run(params, wave):
        examples = pieces(wave)
        features = nnx.merge(graph, params)(examples)
        return {"mid.examples": examples, "embeddings": features}

    return expected(golden, run(params, golden.inputs["wave"]))


@register(
    "manifest_vggish*", holds=("tensors.features.0.weight", "tensors.embeddings*")
)
def run_vggish_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of VGGish's file is used once."""
    like = vggish.build(VggishConfig())[1]
    return check_manifest(golden.manifest, like, vggish.RULES, vggish.IGNORED)


def passt_config(golden: Golden) -> PasstConfig:
    """Our sizes of the reference's constructor arguments."""
    sizes = golden.info["constructor"]
    bins, frames = sizes["img_size"]
    return PasstConfig(
        mel_bins=bins,
        mel_frames=frames,
        patch_size=golden.weights["patch_embed.proj.weight"].shape[-1],
        stride=tuple(sizes["stride"]),
        width=sizes["embed_dim"],
        depth=sizes["depth"],
        heads=sizes["num_heads"],
        num_classes=sizes["num_classes"],
    )


@register("passt_*", holds=("in.wave", "mid.mel", "out.features", "out.logits"))
def run_passt(golden: Golden) -> dict[str, Expect]:
    """Spectrogram, features and logits of every wave, each of its own length."""
    config = passt_config(golden)
    graph, like = passt.build(config)
    params = weights.load(golden.weights, like, passt.RULES, passt.IGNORED)

    @jax.jit
    def run(params, wave):
        mel = passt_mel(wave, config.mel_bins)
        heard = nnx.merge(graph, params)(mel)
        return {"mid.mel": mel, "logits": heard.logits, "features": heard.features}

    results: dict[str, Any] = {}
    for name, wave in golden.inputs.items():
        found = run(params, wave)
        results |= {f"{key}{name.removeprefix('wave')}": x for key, x in found.items()}
    return expected(golden, results)


@register("manifest_passt*", holds=("tensors.freq_new_pos_embed",))
def run_passt_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of PaSST's file is used once or left out on purpose."""
    like = passt.build(PasstConfig())[1]
    return check_manifest(golden.manifest, like, passt.RULES, passt.IGNORED)
