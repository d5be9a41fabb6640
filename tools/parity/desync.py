"""Synchformer and DeSync against their goldens."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.verifiers.desync.config import SynchformerConfig
from avits_jax.verifiers.desync.modeling import Synchformer
from avits_jax.verifiers.desync.params import (
    SYNCHFORMER_IGNORED,
    SYNCHFORMER_RULES,
    build,
)
from avits_jax.verifiers.desync.preprocess import (
    audio_segments,
    log_mel,
    mel_table,
    prepare_frames,
)
from avits_jax.verifiers.desync.scores import (
    desync_seconds,
    expected_desync,
    segment_groups,
)
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register
from tools.parity.stored import against, named, stated_stride


def config_of(sizes: dict[str, int]) -> SynchformerConfig:
    """Our configuration of the reference's constructor arguments."""
    return SynchformerConfig(
        width=sizes["d"],
        image_size=sizes["img"],
        patch_size=sizes["patch"],
        num_frames=sizes["frames"],
        video_depth=sizes["depth"],
        video_heads=sizes["heads"],
        video_hidden=4 * sizes["d"],
        mel_bins=sizes["mel"],
        mel_frames=sizes["spec_t"],
        audio_depth=sizes["ast_layers"],
        audio_heads=sizes["ast_heads"],
        audio_hidden=sizes["ast_ff"],
        head_depth=sizes["g_layers"],
        head_heads=sizes["g_heads"],
        head_hidden=4 * sizes["d"],
        num_segments=sizes["S"],
        num_classes=sizes["ncls"],
    )


def run_model(model: Synchformer, arrays: dict[str, Any]) -> dict[str, Any]:
    """Features, logits and metric."""
    frames = arrays["video_segments"].transpose(0, 1, 2, 4, 5, 3)
    video = model.video_features(frames)
    audio = model.audio_features(arrays["audio_segments"][:, :, 0])
    logits = model.compare(video, audio)
    return {
        "vfeats": video,
        "afeats": audio,
        "logits": logits,
        "desync": desync_seconds(logits[:, None]),
    }


@register("synchformer_*", holds=("video_segments", "audio_segments"))
def run_synchformer(golden: Golden) -> dict[str, Expect]:
    """Features of both encoders, logits and metric."""
    graph, like = build(config_of(golden.info["constructor"]))
    params = weights.load(golden.weights, like, SYNCHFORMER_RULES, SYNCHFORMER_IGNORED)
    arrays = golden.arrays
    run = jax.jit(lambda params: run_model(nnx.merge(graph, params), arrays))
    return against(golden, run(params))


@register("manifest_synchformer*", holds=("tensors.vfeat_extractor.*",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    like = build(SynchformerConfig())[1]
    return check_manifest(golden.manifest, like, SYNCHFORMER_RULES, SYNCHFORMER_IGNORED)


@register("pre_desync*", holds=("mel_norm", "frame_u8"))
def run_preprocess(golden: Golden) -> dict[str, Expect]:
    """Mel table, spectrograms of the segments, and one frame."""
    constants = golden.info["constants"]
    arrays: dict[str, Any] = dict(golden.arrays)
    stated = golden.info["tol_float32"]
    mels, columns = constants["n_mels"], constants["pad_frames_to"]
    segments = audio_segments(arrays["wave"][None])
    frames = jnp.asarray(arrays["frame_u8"].transpose(0, 2, 3, 1), jnp.float32)
    seen = named(arrays, "frame_out")
    expected, step = arrays[seen], stated_stride(seen)
    side = SynchformerConfig().image_size
    prepared = np.asarray(prepare_frames(frames, side)).transpose(0, 3, 1, 2)
    prepared = prepared[..., ::step, ::step]
    table = named(arrays, "mel_fb")
    # One grey level is a step of 1 / 127.5; nearly all must agree.
    off = np.mean(abs(prepared - expected) > stated["frame_abs"] / 2)
    return {
        table: Expect(mel_table(mels).T, arrays[table], stated["abs"]),
        "mel_norm": Expect(
            log_mel(segments, mels, columns)[0], arrays["mel_norm"], stated["abs"]
        ),
        seen: Expect(prepared, expected, stated["frame_abs"]),
        "frame_share_off": Expect(off, 0.0, 0.005),
    }


@register("score_desync*", holds=("logits", "score", "segment_groups"))
def run_score(golden: Golden) -> dict[str, Expect]:
    """Metric, its limit as the smooth form cools, and the groups of segments."""
    logits = jnp.asarray(golden.arrays["logits"])
    results = against(golden, {"score": desync_seconds(logits)})
    cold = expected_desync(logits, temperature=1e-4)
    results["score_cold"] = Expect(cold, golden.arrays["score"], 1e-3)
    for count, groups in golden.info["segment_groups"].items():
        ours = segment_groups(int(count), len(groups[0]))
        results[f"groups_{count}"] = Expect(ours, groups, 0.0)
    return results
