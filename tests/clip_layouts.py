"""CLIP's weights under OpenAI's names, made of those under transformers'."""

import numpy as np

_PLAIN = {
    "logit_scale": "logit_scale",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
}
_NORMS = {
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.final_layer_norm": "ln_final",
}
_PROJECTIONS = {
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
}
_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_TOWERS = {"vision_model": "visual.transformer", "text_model": "transformer"}


def openai_layout(state):
    """The same state dict as OpenAI names it, with what its files hold besides."""
    found = {new: state[old] for old, new in _PLAIN.items()}
    found |= {new: state[old].T for old, new in _PROJECTIONS.items()}
    for kind in ("weight", "bias"):
        for old, new in _NORMS.items():
            found[f"{new}.{kind}"] = state[f"{old}.{kind}"]
        for tower, home in _TOWERS.items():
            found |= _layers(state, tower, home, kind)
    sizes = ("input_resolution", "context_length", "vocab_size")
    return found | {name: np.asarray(77) for name in sizes}


def _layers(state, tower, home, kind):
    found, index = {}, 0
    while f"{tower}.encoder.layers.{index}.layer_norm1.bias" in state:
        old, new = f"{tower}.encoder.layers.{index}", f"{home}.resblocks.{index}"
        for one, other in _LAYER.items():
            found[f"{new}.{other}.{kind}"] = state[f"{old}.{one}.{kind}"]
        parts = [state[f"{old}.self_attn.{x}_proj.{kind}"] for x in "qkv"]
        found[f"{new}.attn.in_proj_{kind}"] = np.concatenate(parts)
        index += 1
    return found
