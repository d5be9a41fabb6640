"""T5 and CLIP-FlanT5 against their goldens."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from avits_jax.networks.t5.modeling import T5Config, T5Encoder
from avits_jax.networks.t5.params import encoder_rules
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.verifiers.vqa_score.config import ClipVisionConfig, VQAScoreConfig
from avits_jax.verifiers.vqa_score.modeling import VQAScore, answer_likelihood
from avits_jax.verifiers.vqa_score.params import (
    build,
    vqa_score_ignored,
    vqa_score_rules,
)
from avits_jax.weights import name_map as weights
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register
from tools.parity.stored import against


def config_of(constructor: dict[str, Any]) -> VQAScoreConfig:
    """Our configuration of the reference's constructor arguments."""
    fixed, sizes = constructor["fixed"], constructor["t5"]
    t5 = T5Config(
        **sizes,
        num_buckets=fixed["relative_attention_num_buckets"],
        max_distance=fixed["relative_attention_max_distance"],
        epsilon=fixed["layer_norm_epsilon"],
    )
    clip = ClipVisionConfig(**constructor["clip"])
    return VQAScoreConfig(t5, clip, pad_token=fixed["pad_token_id"])


def run_model(model: VQAScore, arrays: dict[str, Any]) -> dict[str, Any]:
    """Every stored stage."""
    ids, answer = (jnp.asarray(arrays[name]) for name in ("input_ids", "labels"))
    images = arrays["images"].transpose(0, 2, 3, 1)
    features = model.embed_images(images)
    logits = model(images, ids, answer)
    return {
        "image_features": features,
        "encoder_last": model.encode(ids, features)[0],
        "logits": logits,
        "score": answer_likelihood(logits, answer),
    }


@register("vqascore_*", holds=("images", "labels", "input_ids"))
def run_vqa_score(golden: Golden) -> dict[str, Expect]:
    """Vision features, encoder states, logits and score."""
    config = config_of(golden.info["constructor"])
    graph, like = build(config)
    params = weights.load(
        golden.weights, like, vqa_score_rules(), vqa_score_ignored(config)
    )
    arrays = golden.arrays
    run = jax.jit(lambda params: run_model(nnx.merge(graph, params), arrays))
    return against(golden, run(params))


@register("manifest_clip_flant5*", holds=("tensors.mm_projector.0.weight",))
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the published file is used once or left out on purpose."""
    sizes = golden.info["t5"]
    encoder, decoder = map(int, sizes["layers"].split("+"))
    t5 = T5Config(
        vocab_size=sizes["vocab"],
        d_model=sizes["d_model"],
        d_kv=sizes["d_kv"],
        d_ff=sizes["d_ff"],
        num_layers=encoder,
        num_decoder_layers=decoder,
        num_heads=sizes["heads"],
    )
    config = VQAScoreConfig(t5)
    like = build(config)[1]
    return check_manifest(
        golden.manifest, like, vqa_score_rules(), vqa_score_ignored(config)
    )


def encoder_norms(like: PyTree) -> dict[str, list]:
    """Entries of a T5 encoder's RMS norms under their published names."""
    scales = like["encoder"]["layers"]["feed_norm"]["scale"]
    depth, *shape = scales.shape
    names = [f"encoder.block.{i}.layer.{j}" for i in range(depth) for j in (0, 1)]
    keys = [f"{name}.layer_norm.weight" for name in names]
    keys.append("encoder.final_layer_norm.weight")
    return {key: [shape, str(scales.dtype)] for key in keys}


@register(
    "manifest_t5_*",
    holds=("state_dict.encoder.block.0.layer.0.SelfAttention.q.weight",),
)
def run_t5_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of the encoder is used once, and the parameters are as many.

    A manifest may lack all RMS norms, whose scales a fused implementation keeps out of
    the state dict; published files hold them, so they are added here.
    """
    like = abstract(lambda rngs: T5Encoder(T5Config(), rngs=rngs))[1]
    norms = encoder_norms(like)
    listed = golden.manifest
    held = [key for key in norms if key in listed]
    if held and len(held) < len(norms):
        raise ValueError(f"norms must all be listed, or none; got only {held}")
    count = sum(x.size for x in jax.tree.leaves(like))
    unlisted = 0 if held else sum(int(np.prod(shape)) for shape, _ in norms.values())
    stated = golden.info["_meta"]["parameters"]
    return {
        **check_manifest({**norms, **listed}, like, encoder_rules()),
        "parameters": Expect(count - unlisted, stated, 0.0),
    }
