"""AudioCLIP's audio head against its goldens."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.signal import get_window

from avits_jax.metrics.audioclip.config import AudioClipConfig
from avits_jax.metrics.audioclip.modeling import AudioHead
from avits_jax.metrics.audioclip.params import (
    HEAD_IGNORED,
    HEAD_RULES,
    IGNORED,
    RULES,
    build,
)
from avits_jax.metrics.audioclip.spectrogram import rescaled
from avits_jax.types import PyTree
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden, strip_prefix
from tools.parity.manifests import check_manifest
from tools.parity.modules import channels_first
from tools.parity.recipes import draw_state, published, toleranced
from tools.parity.registry import register

_UNITS = {"pcm": 1.0, "bench": 1 / 32_768}


def config_of(sizes: dict[str, Any]) -> AudioClipConfig:
    """Our configuration of the reference's constructor arguments."""
    sizes = dict(sizes)
    return AudioClipConfig(
        embed_dim=sizes.pop("embed"), layers=tuple(sizes.pop("layers")), **sizes
    )


def run_head(model: AudioHead, wave: jax.Array) -> dict[str, jax.Array]:
    """Everything on the way from a wave to its embedding."""
    scaled = rescaled(wave)
    decibels = model.spectrogram(scaled)
    last = model.last_map(decibels)
    pooled = model.pool(last)
    return {
        "scaled": scaled,
        "db": decibels,
        "final_map": last,
        "pooled": pooled,
        "embed": model.out(pooled),
    }


def run_cases(
    golden: Golden, config: AudioClipConfig, params: PyTree
) -> dict[str, dict[str, jax.Array]]:
    """The wave in 16-bit numbers, and as the benchmark hands it over."""
    graph, _ = build(config)
    pcm = jnp.asarray(golden.inputs["pcm"][:, 0], jnp.float32)
    run = jax.jit(lambda p, wave: run_head(nnx.merge(graph, p), wave))
    return {case: run(params, pcm * unit) for case, unit in _UNITS.items()}


@register("fad_audioclip_*", holds=("in.pcm", "mid.bench_scaled"))
def run_tiny(golden: Golden) -> dict[str, Expect]:
    """Every stored stage."""
    config = config_of(golden.info["constructor"])
    like = build(config)[1]
    params = weights.load(golden.weights, like, HEAD_RULES, HEAD_IGNORED)
    results: dict[str, Any] = {}
    for case, found in run_cases(golden, config, params).items():
        results |= {
            f"mid.{case}_scaled": found["scaled"][:, None],
            f"mid.{case}_db": channels_first(found["db"]),
            f"mid.{case}_final_map": channels_first(found["final_map"]),
            f"mid.{case}_pooled": found["pooled"],
            f"out.{case}_embed": found["embed"],
        }
    return toleranced(golden, results)


def recipe_state(golden: Golden, config: AudioClipConfig) -> dict[str, np.ndarray]:
    """The weights of the published sizes that the golden's recipe gives."""
    info = golden.info
    entries = strip_prefix(published("manifest_audioclip_full_training"), "audio.")
    state = draw_state(info["weights_seed"], entries)
    state["bn1.running_var"] *= np.float32(info["bn1_running_var_factor"])
    bins, seed = config.bins, info["weights_seed"]
    order, width, centre = (
        np.random.default_rng([seed, info["fbsp_recipe"]["seeds"][name]])
        for name in ("m", "fb", "fc")
    )
    filters = {
        "fbsp.m": order.uniform(0.2, 3, bins),
        "fbsp.fb": width.uniform(0.5, 1.6, bins),
        "fbsp.fc": np.arange(bins) + 0.3 * centre.standard_normal(bins),
        "window": get_window("blackmanharris", config.win_length),
    }
    return state | {key: each.astype(np.float32) for key, each in filters.items()}


@register("fad_audioclip_full_recipe*", holds=("in.pcm", "weights_recipe"))
def run_full(golden: Golden) -> dict[str, Expect]:
    """The published sizes, with weights from a recipe."""
    config = AudioClipConfig()
    like = build(config)[1]
    state = recipe_state(golden, config)
    params = weights.load(state, like, HEAD_RULES, HEAD_IGNORED)
    results: dict[str, Any] = {}
    for case, found in run_cases(golden, config, params).items():
        results |= {
            f"mid.{case}_db_band_mean": channels_first(jnp.mean(found["db"], 2)),
            f"mid.{case}_pooled": found["pooled"],
            f"out.{case}_embed": found["embed"],
        }
    return toleranced(golden, results)


@register("manifest_audioclip*", holds=("tensors.audio.fbsp.m",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    like = build(AudioClipConfig())[1]
    return check_manifest(golden.manifest, like, RULES, IGNORED)
