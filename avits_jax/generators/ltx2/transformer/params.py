"""Where the published weights go in `modeling`, by the module names of ltx-core.

Published single files put ``model.diffusion_model.`` before them.
"""

from avits_jax.weights.name_map import Rule, linear

_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "out"}
_BLOCK = "transformer_blocks.{block}."


def _attention(source: str, target: str) -> tuple[Rule, ...]:
    projections = (
        linear(f"{source}.{name}", f"{target}.{ours}")
        for name, ours in _ATTENTION.items()
    )
    return (
        *(rule for group in projections for rule in group),
        *linear(f"{source}.to_gate_logits", f"{target}.gate"),
        Rule(f"{source}.q_norm.weight", f"{target}.query_norm.scale"),
        Rule(f"{source}.k_norm.weight", f"{target}.key_norm.scale"),
    )


def _level_embed(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *linear(f"{source}.emb.timestep_embedder.linear_1", f"{target}.up"),
        *linear(f"{source}.emb.timestep_embedder.linear_2", f"{target}.down"),
        *linear(f"{source}.linear", f"{target}.rows"),
    )


def _stream(prefix: str, stream: str, across: str, gate: str) -> tuple[Rule, ...]:
    """Return the rules of one stream.

    Args:
        prefix: of the stream's names.
        stream: name of the stream.
        across: the attention in which it asks the other stream.
        gate: what gates that attention.
    """
    half = f"blocks.{stream}"
    return (
        *linear(f"{prefix}patchify_proj", f"{stream}.inward"),
        *linear(f"{prefix}proj_out", f"{stream}.outward"),
        Rule(f"{prefix}scale_shift_table", f"{stream}.table"),
        *_level_embed(f"{prefix}adaln_single", f"{stream}.time"),
        *_level_embed(f"{prefix}prompt_adaln_single", f"{stream}.text_time"),
        *_level_embed(
            f"av_ca_{stream}_scale_shift_adaln_single", f"{stream}.across_time"
        ),
        *_level_embed(f"av_ca_{gate}_gate_adaln_single", f"{stream}.gate_time"),
        *linear(f"{prefix}caption_projection.linear_1", f"{stream}.caption.up"),
        *linear(f"{prefix}caption_projection.linear_2", f"{stream}.caption.down"),
        *_attention(f"{_BLOCK}{prefix}attn1", f"{half}.own"),
        *_attention(f"{_BLOCK}{prefix}attn2", f"{half}.text"),
        *_attention(f"{_BLOCK}{across}_attn", f"{half}.across"),
        *linear(f"{_BLOCK}{prefix}ff.net.0.proj", f"{half}.mlp.up"),
        *linear(f"{_BLOCK}{prefix}ff.net.2", f"{half}.mlp.down"),
        Rule(f"{_BLOCK}{prefix}scale_shift_table", f"{half}.table"),
        Rule(f"{_BLOCK}{prefix}prompt_scale_shift_table", f"{half}.text_table"),
        Rule(f"{_BLOCK}scale_shift_table_a2v_ca_{stream}", f"{half}.across_table"),
    )


RULES = (
    *_stream("", "video", "audio_to_video", "a2v"),
    *_stream("audio_", "audio", "video_to_audio", "v2a"),
)

FLOAT8 = (
    r"blocks/\w+/(own|text|across)/(query|key|value|out)/(kernel|bias)",
    r"blocks/\w+/mlp/(up|down)/(kernel|bias)",
)
"""Paths of the weights that may be stored in float8 (e4m3): the blocks' big matrices.

As ltx-core's ``fp8_cast`` does it, without scales: above 448 they become NaN.
"""
