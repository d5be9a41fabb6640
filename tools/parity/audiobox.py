"""Audiobox aesthetics against its goldens."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.nn.resample import resample
from avits_jax.verifiers.audiobox.config import (
    AXES,
    SAMPLE_RATE,
    AudioboxConfig,
    WavLMConfig,
)
from avits_jax.verifiers.audiobox.modeling import Audiobox
from avits_jax.verifiers.audiobox.params import IGNORED, RULES, build
from avits_jax.verifiers.audiobox.scores import sound_scores
from avits_jax.verifiers.audiobox.waves import bench_wave, true_wave
from avits_jax.verifiers.its import INT16_PEAK
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.modules import run_compiled
from tools.parity.registry import register

_INT16 = INT16_PEAK + 1
_TERM = re.compile(r"\[((?:\(\d+, *\d+, *\d+\),? *)+)\](?: *\* *(\d+))?")


def conv_layers(text: str) -> list[tuple[int, int, int]]:
    """Width, kernel and stride of each of ``"[(512,10,5)] + [(512,3,2)] * 4"``."""
    found: list[tuple[int, int, int]] = []
    for terms, times in _TERM.findall(text):
        numbers = [int(number) for number in re.findall(r"\d+", terms)]
        layers = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
        found += layers * int(times or 1)
    return found


def config_of(info: dict[str, Any]) -> AudioboxConfig:
    """Our configuration of the reference's constructor arguments."""
    sizes, heads = info["constructor"]["wavlm"], info["constructor"]["heads"]
    widths, kernels, strides = zip(
        *conv_layers(sizes["conv_feature_layers"]), strict=True
    )
    scale = heads["target_transform"]
    return AudioboxConfig(
        encoder=WavLMConfig(
            conv_widths=widths,
            conv_kernels=kernels,
            conv_strides=strides,
            width=sizes["encoder_embed_dim"],
            depth=sizes["encoder_layers"],
            heads=sizes["encoder_attention_heads"],
            hidden=sizes["encoder_ffn_embed_dim"],
            position_kernel=sizes["conv_pos"],
            position_groups=sizes["conv_pos_groups"],
            num_buckets=sizes["num_buckets"],
            max_distance=sizes["max_distance"],
        ),
        head_depth=heads["proj_num_layer"],
        means=tuple(scale[axis]["mean"] for axis in AXES),
        stds=tuple(scale[axis]["std"] for axis in AXES),
    )


def frame_padding(mask: np.ndarray, frames: int) -> np.ndarray:
    """Frames of padded windows that hold no sound, from a mask of samples."""
    kept = mask.shape[-1] // frames * frames
    return np.all(~mask[:, :kept].reshape(len(mask), frames, -1), -1)


def run_network(model: Audiobox, wav: jax.Array, padding: np.ndarray) -> dict[str, Any]:
    """Whole windows, their padding masked as in the original."""
    frames, mask = model.heard_frames(wav, wav.shape[-1]), jnp.asarray(~padding)
    return {
        "mid.layers": model.encoder.layers(frames, mask, lambda states: states),
        "raw": model.axes(frames, mask),
    }


def run_predict(model: Audiobox, arrays: dict[str, Any]) -> jax.Array:
    """Scores of each sound of its own length, rate and channels."""
    rows = []
    for index, rate in enumerate(np.asarray(arrays["in.rate"])):
        pcm = jnp.asarray(arrays[f"in.pcm_{chr(ord('a') + index)}"], jnp.float32)
        sound = true_wave(pcm[None] / _INT16, int(rate))
        rows.append(sound_scores(model, sound))
    return jnp.concatenate(rows)


@register("audiobox_*", holds=("constructor.wavlm", "in.pcm_a"))
def run_audiobox(golden: Golden) -> dict[str, Expect]:
    """States and raw scores of padded windows, with and without the padding worked on.

    ``raw_alone`` works on what holds sound alone, as verifiers do.
    """
    config = config_of(golden.info)
    graph, like = build(config)
    params = weights.load(golden.weights, like, RULES, IGNORED)
    arrays, allowed = golden.arrays, golden.info["tol_float32_abs"]
    wav, mask = arrays["in.wav"][:, 0], np.asarray(arrays["in.mask"][:, 0])
    window = wav.shape[-1]
    padding = frame_padding(mask, config.encoder.frames(window))

    def run(model):
        alone = [
            model(wav[i : i + 1, : int(mask[i].sum())], window) for i in range(len(wav))
        ]
        return run_network(model, wav, padding) | {
            "raw_alone": jnp.concatenate(alone),
            "predict": run_predict(model, arrays),
        }

    results = run_compiled(run, nnx.merge(graph, params))
    results["javis_audio_quality"] = jnp.mean(results["predict"], -1)
    checks = {
        name: Expect(value, _expected(arrays, name), allowed[name.split("_alone")[0]])
        for name, value in results.items()
    }
    found = Expect(padding, arrays["mid.frame_padding"], 0.0)
    return {**checks, "mid.frame_padding": found}


def _expected(arrays: dict[str, Any], name: str) -> Any:
    plain = name.split("_alone")[0]
    return arrays[plain if plain in arrays else f"out.{plain}"]


@register("manifest_audiobox*", holds=("tensors.wavlm_model.*",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    _, like = build(AudioboxConfig())
    return check_manifest(golden.manifest, like, RULES, IGNORED)


def quality_waves(golden: Golden) -> dict[str, Expect]:
    """How JavisBench reads sounds for audio quality, of ``pre_bench_audio``."""
    seconds, allowed = golden.info["max_audio_len_s"], golden.info["tol_float32_abs"]
    found: dict[str, Expect] = {}
    for name, rate in golden.info["rates"].items():
        pcm = jnp.asarray(golden.arrays[f"in.pcm_{name}"], jnp.float32).T / _INT16
        wave = bench_wave(pcm[None], rate, seconds)
        expected = golden.arrays[f"out.quality_{name}"]
        found[f"quality_{name}"] = Expect(wave, expected, allowed["quality"])
    for name, tap in golden.info["quality_tap"].items():
        taps = resample(jnp.ones((1,)), golden.info["rates"][name], SAMPLE_RATE)
        found[f"quality_tap_{name}"] = Expect(taps, [tap], 1e-7)
    return found
