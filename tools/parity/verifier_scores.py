"""Scores that need no network, against their goldens."""

import re

import jax.numpy as jnp
import numpy as np

from avits_jax.aggregation import simple
from avits_jax.metrics import frechet
from avits_jax.metrics.i3d import params as i3d
from avits_jax.metrics.i3d.config import I3dConfig
from avits_jax.verifiers import its
from avits_jax.verifiers.imagebind import scores
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register


@register("score_embed*", holds=("frame_embeds", "window_audio_embeds"))
def run_embed(golden: Golden) -> dict[str, Expect]:
    """Cosine scores of given embeddings."""
    arrays, info = golden.arrays, golden.info
    atol = info["tol_float32"]["abs"]
    frames, audio = jnp.asarray(arrays["frame_embeds"]), arrays["audio_embed"][0]
    sound = jnp.asarray(arrays["window_audio_embeds"])
    windows = tuple((int(start), int(stop)) for start, stop in arrays["windows"])
    inside = np.array([range(start, stop) for start, stop in windows])
    short = re.search(r"javis_single_window uses frames\[0:(\d+)\]", str(info["notes"]))
    length = int(short[1]) if short else len(frames)
    text, video = arrays["text_embed"][0], arrays["global_video_embed"][0]
    clap_text, clap_audio = (
        jnp.asarray(arrays[f"clap_{k}"]) for k in ("text", "audio")
    )
    results = {
        "avh": scores.avh_score(frames, audio),
        "per_frame_cos": scores.cosine(frames, audio),
        "window_cos": scores.cosine(frames[inside], sound[:, None]),
        "javis": scores.javis_score(frames, sound, windows),
        "javis_single_window": scores.javis_score(frames, sound[:1], ((0, length),)),
        "avib": scores.cosine(video, audio),
        "taib": scores.cosine(text, audio),
        "clap": scores.cosine(clap_text, clap_audio),
    }
    checks = {name: Expect(v, arrays[name], atol) for name, v in results.items()}
    for lowest, stated in info["javis_for_k"].items():
        share = float(lowest) if "." in lowest else int(lowest)
        ours = scores.javis_score(frames, sound, windows, share)
        checks[f"javis_for_{lowest}"] = Expect(ours, stated["score"], atol)
    return checks


@register("score_its_combine*", holds=("ta", "javis", "zscore_fixed"))
def run_combine(golden: Golden) -> dict[str, Expect]:
    """The server's reading of clips, and its combinations of two and three rewards."""
    arrays, info = golden.arrays, golden.info
    atol, weights = info["tol_float32"]["abs"], info["weights"]
    two = jnp.stack([arrays["ta"], arrays["javis"]], 1)
    three = jnp.concatenate([two, arrays["clap"][:, None]], 1)
    fixed = info["zscore_fixed"]
    mean, std = (
        [fixed[f"{v}_{kind}"] for v in ("TA", "JS")] for kind in ("mean", "std")
    )
    aggregators = {
        "rank2": simple.rank(weights),
        "rank3": simple.rank([1 / 3] * 3),
        "weighted": simple.weighted(weights),
        "zscore_fixed": simple.zscore(weights, mean, std),
        "zscore_candidate": simple.zscore_candidate(weights),
        "minmax": simple.minmax(weights),
    }
    checks = {}
    for name, aggregator in aggregators.items():
        rewards = three if name == "rank3" else two
        ours, _ = aggregator.update(rewards, aggregator.init(rewards.shape[1]))
        checks[name] = Expect(ours, arrays[name], atol)
    for name in ("video_pm1", "video_01"):
        ours = its.its_levels(jnp.asarray(arrays[name]))
        checks[name] = Expect(ours, arrays[f"{name}_u8"], 0.0)
    for name in ("audio", "audio_loud"):
        ours = its.its_samples(jnp.asarray(arrays[name])[None])[0]
        checks[name] = Expect(ours, arrays[f"{name}_i16"], 0.0)
    return checks


@register("score_frechet*", holds=("feat_*", "frechet_*"))
def run_frechet(golden: Golden) -> dict[str, Expect]:
    """Frechet distance and polynomial MMD, against the float64 values where stored."""
    arrays = {name: np.asarray(array) for name, array in golden.arrays.items()}
    stated = golden.info["tol_float32"]
    results = {}
    pairs = sorted({name.split("_")[1] for name in arrays if "frechet_" in name})
    for pair in pairs:
        features = [arrays[f"feat_{name}"] for name in pair]
        distance = frechet.frechet_distance(*features)
        rtol = stated.get(f"frechet_{pair}_rel", stated["frechet_rel"])
        for name in (f"frechet_{pair}", f"frechet_{pair}_f64"):
            results[name] = Expect(distance, arrays[name], 0.0, rtol)
        mmd = frechet.polynomial_mmd(*features)
        for name in (f"kvd_{pair}", f"kvd_{pair}_f64"):
            if name in arrays:
                results[name] = Expect(mmd, arrays[name], 0.0, stated["kvd_rel"])
    fad = frechet.FAD_SCALE * frechet.frechet_distance(
        arrays["feat_a"], arrays["feat_b"]
    )
    expected = arrays["fad_ab_x10000"]
    results["fad_ab_x10000"] = Expect(fad, expected, 0.0, stated["frechet_rel"])
    return results


@register("manifest_i3d*", holds=("tensors.Conv3d_1a_7x7.conv3d.weight",))
def run_i3d_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of FVD's network is used once or left out on purpose."""
    _, like = i3d.build(I3dConfig())
    return check_manifest(golden.manifest, like, i3d.RULES, i3d.IGNORED)
