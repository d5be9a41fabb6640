"""Name maps: keys of the published PyTorch state dicts to parameters here."""

import numpy as np

from avits_jax.networks.imagebind import params as imagebind
from avits_jax.weights.name_map import Rule, conv, linear, norm, prefixed


def _resnet(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *norm(f"{source}.norm1", f"{target}.norm1"),
        *conv(f"{source}.conv1", f"{target}.conv1"),
        *norm(f"{source}.norm2", f"{target}.norm2"),
        *conv(f"{source}.conv2", f"{target}.conv2"),
        *conv(f"{source}.conv_shortcut", f"{target}.shortcut"),
    )


_MIDDLE = "{side}.mid_block.attentions.0"
# Names of diffusers since 0.15, and those of before.
_ATTENTION_NAMES = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "out",
    "query": "query",
    "key": "key",
    "value": "value",
    "proj_attn": "out",
}

AUTOENCODER_KL_RULES = (
    *conv("{side}.conv_in", "{side}.conv_in"),
    *conv("{side}.conv_out", "{side}.conv_out"),
    *norm("{side}.conv_norm_out", "{side}.norm_out"),
    *_resnet("encoder.down_blocks.{i}.resnets.{j}", "encoder.levels.{i}.resnets.{j}"),
    *conv("encoder.down_blocks.{i}.downsamplers.0.conv", "encoder.levels.{i}.resample"),
    *_resnet("decoder.up_blocks.{i}.resnets.{j}", "decoder.levels.{i}.resnets.{j}"),
    *conv("decoder.up_blocks.{i}.upsamplers.0.conv", "decoder.levels.{i}.resample"),
    *_resnet("{side}.mid_block.resnets.{j}", "{side}.middle.resnets.{j}"),
    *norm(f"{_MIDDLE}.group_norm", "{side}.middle.attention.norm"),
    *(
        rule
        for name, ours in _ATTENTION_NAMES.items()
        for rule in linear(f"{_MIDDLE}.{name}", f"{{side}}.middle.attention.{ours}")
    ),
    *conv("quant_conv", "quant"),
    *conv("post_quant_conv", "post_quant"),
)


def _weight_norm(source: str, target: str, transposed: bool = False):
    """Map a convolution, its weight whole or split in either of torch's two ways."""
    kind = "conv_transpose" if transposed else "conv"
    old = (f"{source}.weight_g", f"{source}.weight_v")
    new = tuple(
        f"{source}.parametrizations.weight.original{index}" for index in range(2)
    )
    return (
        Rule(f"{source}.weight", f"{target}.kernel", kind),
        Rule(old, f"{target}.kernel", f"weight_norm_{kind}"),
        Rule(new, f"{target}.kernel", f"weight_norm_{kind}"),
        Rule(f"{source}.bias", f"{target}.bias"),
    )


HIFIGAN_RULES = (
    Rule("mean", "mean"),
    Rule("scale", "scale"),
    *_weight_norm("conv_pre", "conv_in"),
    *_weight_norm("upsampler.{i}", "upsamples.{i}", transposed=True),
    *_weight_norm("resblocks.{i}.convs1.{j}", "blocks.{i}.dilated.{j}"),
    *_weight_norm("resblocks.{i}.convs2.{j}", "blocks.{i}.plain.{j}"),
    *_weight_norm("conv_post", "conv_out"),
)

AUDIO_VAE_RULES = (
    *prefixed(AUTOENCODER_KL_RULES, "vae.", "vae."),
    *prefixed(HIFIGAN_RULES, "vocoder.", "vocoder."),
)


def _temporal_block(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *norm(f"{source}.norm1", f"{target}.norm1"),
        *conv(f"{source}.conv1.conv", f"{target}.conv1"),
        *norm(f"{source}.norm2", f"{target}.norm2"),
        *conv(f"{source}.conv2.conv", f"{target}.conv2"),
        *conv(f"{source}.conv3.conv", f"{target}.shortcut"),
    )


TEMPORAL_VAE_RULES = (
    *conv("encoder.conv_in.conv", "encoder.conv_in"),
    *conv("encoder.conv2.conv", "encoder.conv_out"),
    *conv("decoder.conv1.conv", "decoder.conv_in"),
    *conv("decoder.conv_out.conv", "decoder.conv_out"),
    *_temporal_block("{side}.block_res_blocks.{i}.{j}", "{side}.stages.{i}.{j}"),
    *_temporal_block("{side}.res_blocks.{j}", "{side}.middle.{j}"),
    *conv("{side}.conv_blocks.{i}.conv", "{side}.resamples.{i}"),
    *norm("{side}.norm1", "{side}.norm_out"),
    *conv("quant_conv.conv", "quant"),
    *conv("post_quant_conv.conv", "post_quant"),
)


def _flatten(value: np.ndarray) -> np.ndarray:
    """Flatten ``[1, C, 1, 1, 1]`` to ``[C]``."""
    return value.reshape(-1)


VIDEO_VAE_RULES = (
    *prefixed(AUTOENCODER_KL_RULES, "spatial_vae.module.", "spatial."),
    *prefixed(TEMPORAL_VAE_RULES, "temporal_vae.", "temporal."),
    Rule("shift", "shift", _flatten),
    Rule("scale", "scale", _flatten),
)


def _mlp(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *linear(f"{source}.fc1", f"{target}.up"),
        *linear(f"{source}.fc2", f"{target}.down"),
    )


def _cross_attention(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *linear(f"{source}.q_linear", f"{target}.query"),
        *linear(f"{source}.kv_linear", f"{target}.key_value"),
        *linear(f"{source}.proj", f"{target}.out"),
    )


def _self_block(source: str, target: str) -> tuple[Rule, ...]:
    source, target = f"{source}.{{level}}", f"levels.{target}"
    return (
        Rule(f"{source}.scale_shift_table", f"{target}.table"),
        *linear(f"{source}.attn.qkv", f"{target}.qkv"),
        Rule(f"{source}.attn.q_norm.weight", f"{target}.query_norm.scale"),
        Rule(f"{source}.attn.k_norm.weight", f"{target}.key_norm.scale"),
        *linear(f"{source}.attn.proj", f"{target}.out"),
        *_cross_attention(f"{source}.cross_attn", f"{target}.text"),
        *_mlp(f"{source}.mlp", f"{target}.mlp"),
    )


def _prior_block(source: str, target: str) -> tuple[Rule, ...]:
    source, target = f"{source}.{{level}}", f"levels.{target}"
    return (
        Rule(f"{source}.scale_shift_table", f"{target}.table"),
        *_cross_attention(f"{source}.spatial_cross_attn", f"{target}.spatial"),
        *_cross_attention(f"{source}.temporal_cross_attn", f"{target}.temporal"),
        *_mlp(f"{source}.mlp", f"{target}.mlp"),
    )


_EXCHANGE_NAMES = {
    "m1_proj": "video_match",
    "m2_proj": "audio_match",
    "values_m1_proj": "video_value",
    "values_m2_proj": "audio_value",
    "out_m1_proj": "video_out",
    "out_m2_proj": "audio_out",
}
_EXCHANGE = "va_cross_blocks.{level}"


def _number_embed(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *linear(f"{source}.mlp.0", f"{target}.up"),
        *linear(f"{source}.mlp.2", f"{target}.down"),
    )


TRANSFORMER_RULES = (
    Rule("rope.freqs", "rotary"),
    *conv("x_embedder.proj", "video_in"),
    *conv("ax_embedder.proj", "audio_in"),
    *_number_embed("t_embedder", "time"),
    *_number_embed("fps_embedder", "fps"),
    *linear("t_block.1", "modulation"),
    *linear("st_t_block.1", "prior_modulation"),
    *_mlp("y_embedder.y_proj", "video_text"),
    *_mlp("audio_y_embedder.y_proj", "audio_text"),
    *_mlp("st_prior_embedder.y_proj", "prior"),
    Rule("y_embedder.y_embedding", "null_text"),
    # The same buffer under a second name; a checkpoint may hold either or both.
    Rule("audio_y_embedder.y_embedding", "null_text", fallback=True),
    Rule("st_prior_embedder.y_embedding", "null_prior"),
    *_self_block("spatial_blocks", "video_spatial"),
    *_self_block("temporal_blocks", "video_temporal"),
    *_self_block("audio_spatial_blocks", "audio_spatial"),
    *_self_block("audio_temporal_blocks", "audio_temporal"),
    *_prior_block("video_st_prior_blocks", "video_prior"),
    *_prior_block("audio_st_prior_blocks", "audio_prior"),
    Rule(f"{_EXCHANGE}.gamma_m1", "levels.exchange.video_gain"),
    Rule(f"{_EXCHANGE}.gamma_m2", "levels.exchange.audio_gain"),
    *(
        rule
        for name, ours in _EXCHANGE_NAMES.items()
        for rule in linear(f"{_EXCHANGE}.cross_attn.{name}", f"levels.exchange.{ours}")
    ),
    Rule("final_layer.scale_shift_table", "video_final.table"),
    *linear("final_layer.linear", "video_final.linear"),
    Rule("audio_final_layer.scale_shift_table", "audio_final.table"),
    *linear("audio_final_layer.linear", "audio_final.linear"),
)


def _first(value: np.ndarray) -> np.ndarray:
    """Take ``[L, D]`` out of ``[1, L, D]``."""
    return value[0]


def _torch_attention(source: str, target: str) -> tuple[Rule, ...]:
    return (
        Rule(f"{source}.in_proj_weight", f"{target}.projection.kernel", "linear"),
        Rule(f"{source}.in_proj_bias", f"{target}.projection.bias"),
        *linear(f"{source}.out_proj", f"{target}.out"),
    )


def _torch_layer(side: str) -> tuple[Rule, ...]:
    source = f"prior_extractor.{side}.layers.{{layer}}"
    return (
        *_torch_attention(f"{source}.self_attn", f"{side}.attention"),
        *_torch_attention(f"{source}.multihead_attn", f"{side}.cross"),
        *linear(f"{source}.linear1", f"{side}.mlp.up"),
        *linear(f"{source}.linear2", f"{side}.mlp.down"),
        *norm(f"{source}.norm1", f"{side}.norm1"),
        *norm(f"{source}.norm2", f"{side}.norm2"),
        *norm(f"{source}.norm3", f"{side}.norm3"),
        *norm(f"prior_extractor.{side}.norm", f"{side}_norm"),
    )


PRIOR_RULES = (
    Rule("spatial_query_emb", "spatial_queries", _first),
    Rule("temporal_query_emb", "temporal_queries", _first),
    *linear("in_proj", "proj_in"),
    *linear("out_proj", "proj_out"),
    *_torch_layer("encoder"),
    *_torch_layer("decoder"),
    *prefixed(
        [
            rule
            for rule in imagebind.RULES
            if rule.target.startswith(("text.", "{encoder}."))
        ],
        source="text_encoder.",
    ),
)
_TRAINING = "the encoder of true clips, used in training only"
PRIOR_IGNORED = {
    "text_encoder.modality_preprocessors.text.mask": "made where it is used",
    "video_embedder.proj.{kind}": _TRAINING,
    "audio_embedder.{kind}": _TRAINING,
    "va_spatial_encoder.cross_attn.{layer}.{kind}": _TRAINING,
    "va_spatial_encoder.mlp.{layer}.{kind}": _TRAINING,
    "va_temporal_encoder.cross_attn.{layer}.{kind}": _TRAINING,
    "va_temporal_encoder.mlp.{layer}.{kind}": _TRAINING,
    "discriminator.cls_token": _TRAINING,
    "discriminator.attn.{layer}.{kind}": _TRAINING,
    "discriminator.classifier.{kind}": _TRAINING,
}
