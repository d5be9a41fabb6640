"""CLAP's encoders and features against their goldens."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.nn.fbank import slaney_filters
from avits_jax.nn.resample import resample
from avits_jax.verifiers.clap import features
from avits_jax.verifiers.clap import params as names
from avits_jax.verifiers.clap.config import AudioConfig, ClapConfig, TextConfig
from avits_jax.verifiers.clap.modeling import Clap
from avits_jax.verifiers.its import INT16_PEAK
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register
from tools.parity.stored import found_stride, named


def config_of(info: dict[str, Any]) -> ClapConfig:
    """Our configuration of the reference's constructor arguments."""
    sizes = info["constructor"]
    text, audio = sizes["text_config"], sizes["audio_config"]
    return ClapConfig(
        text=TextConfig(
            vocab_size=text["vocab_size"],
            width=text["hidden_size"],
            depth=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            hidden=text["intermediate_size"],
            max_positions=text["max_position_embeddings"],
            pad_id=info["other_config"]["text_pad_token_id"],
        ),
        audio=AudioConfig(
            mel_bins=audio["num_mel_bins"],
            image_size=audio["spec_size"],
            patch_size=audio["patch_size"],
            width=audio["patch_embeds_hidden_size"],
            depths=tuple(audio["depths"]),
            heads=tuple(audio["num_attention_heads"]),
            window=audio["window_size"],
            mlp_ratio=info["other_config"]["mlp_ratio"],
        ),
        embed_dim=sizes["projection_dim"],
    )


def run_audio(model: Clap, mel: jax.Array) -> dict[str, Any]:
    """Every stage of the audio encoder."""
    audio = model.audio
    x = audio.patches(mel)
    results = {
        "audio_after_batchnorm": audio.mel_norm(mel)[:, None],
        "audio_patch_embed": x.reshape(len(x), -1, x.shape[-1]),
    }
    for index, stage in enumerate(audio.stages):
        x = stage(x)
        results[f"audio_stage{index}"] = x.reshape(len(x), -1, x.shape[-1])
    last = audio.norm(x)
    batch, height, width, size = last.shape
    # The reference stores channels, then bands, then the folds behind each other.
    unfolded = last.reshape(batch, audio.folds, -1, width, size)
    unfolded = unfolded.transpose(0, 4, 2, 1, 3)
    results["audio_last_hidden"] = unfolded.reshape(
        batch, size, height // audio.folds, -1
    )
    return results | {
        "audio_pooled": jnp.mean(last, (1, 2)),
        "audio_embeds": model.embed_audio(mel),
    }


def run_text(model: Clap, ids: jax.Array, mask: jax.Array) -> dict[str, Any]:
    """Every stage of the text encoder."""
    hidden = model.text.hidden(ids, mask)
    return {
        "text_hidden": hidden,
        "text_pooled": model.text.pool(hidden),
        "text_embeds": model.embed_text(ids, mask),
    }


@register("clap_*", holds=("input_features", "input_ids", "attention_mask"))
def run_encoders(golden: Golden) -> dict[str, Expect]:
    """Every stored stage of both encoders, and the score."""
    arrays, stated = golden.arrays, golden.info["tol_float32"]
    graph, like = names.build(config_of(golden.info))
    params = weights.load(golden.weights, like, names.RULES, names.IGNORED)
    ids, mask = (jnp.asarray(arrays[k]) for k in ("input_ids", "attention_mask"))
    mask, mel = mask > 0, jnp.asarray(arrays["input_features"][:, 0])

    @jax.jit
    def run(params):
        model = nnx.merge(graph, params)
        text = run_text(model, ids, mask)
        return text | run_audio(model, mel)

    results = run(params)
    text, audio = results["text_embeds"], results["audio_embeds"]
    results["clap_score"] = jnp.sum(text * audio, -1)
    for encoder, left, right in (("audio", audio, text), ("text", text, audio)):
        scale = np.exp(golden.weights[f"logit_scale_{encoder[0]}"])
        results[f"logits_per_{encoder}"] = scale * (left @ right.T)
    final = ("text_embeds", "audio_embeds", "clap_score")
    return {
        name: Expect(
            value,
            arrays[name],
            stated["embeds_abs" if name in final else "intermediates_abs"],
            stated["rel"],
        )
        for name, value in results.items()
    }


@register("manifest_clap*", holds=("tensors.audio_model.audio_encoder.*",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    _, like = names.build(ClapConfig())
    return check_manifest(golden.manifest, like, names.RULES, names.IGNORED)


@register("pre_clap*", holds=("wave48", "repeatpad"))
def run_features(golden: Golden) -> dict[str, Expect]:
    """Log-mel spectrograms of all modes."""
    arrays, constants = golden.arrays, golden.info["constants"]
    stated, mels = golden.info["tol_float32"], constants["mel"]
    rate = constants["sample_rate"]
    wave = jnp.asarray(arrays["wave48"])
    integers = named(arrays, "int16_")
    samples = jnp.asarray(arrays[integers], jnp.float32)
    low_rate = 1000 * int(integers.removeprefix("int16_").removesuffix("k"))
    right = resample(samples / INT16_PEAK, low_rate, rate)

    def expect(wave, name: str, atol: float, *, cut: bool = False) -> Expect:
        """Stored are every n-th frame, or the first ones."""
        expected = arrays[name][0]
        ours = features.log_mel(wave, mels)
        step = 1 if cut else found_stride(len(ours), len(expected))
        return Expect(ours[::step][: len(expected)], expected, atol)

    filters = slaney_filters(
        mels,
        constants["fft"],
        rate,
        float(constants["fmin"]),
        float(constants["fmax"]),
    )
    corrected = named(arrays, "corrected_resampled_repeatpad")
    mislabelled = named(arrays, "its_int16_mislabelled")
    table = named(arrays, "mel_slaney")
    padded, silent = features.repeat_pad(wave), features.zero_pad(wave)
    server, atol = features.zero_pad(samples), stated["abs"]
    whole = features.repeat_pad(right)
    return {
        "repeatpad": expect(padded, "repeatpad", atol),
        "padding_true": expect(silent, "padding_true", atol, cut=True),
        mislabelled: expect(server, mislabelled, atol, cut=True),
        corrected: expect(whole, corrected, stated["resampled_abs"]),
        table: Expect(filters.T, arrays[table], 1e-8),
    }
