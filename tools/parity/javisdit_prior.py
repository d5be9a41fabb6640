"""JavisDiT's prior encoder against its goldens."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from avits_jax.generators.javisdit.params import PRIOR_IGNORED, PRIOR_RULES
from avits_jax.generators.javisdit.prior import PriorConfig, PriorEncoder
from avits_jax.networks.imagebind.config import EncoderConfig, ImageBindConfig
from avits_jax.nn.abstract import abstract
from avits_jax.nn.gaussian import split_moments
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.modules import load_module, run_compiled
from tools.parity.registry import register


def prior_config(config: Mapping[str, Any]) -> PriorConfig:
    """Our configuration from the original's."""
    text = config["imagebind_text"]
    encoder = EncoderConfig(
        text["text_embed_dim"], text["text_num_blocks"], text["text_num_heads"]
    )
    return PriorConfig(
        imagebind=ImageBindConfig(
            text=encoder,
            embed_dim=text["out_embed_dim"],
            vocab_size=text["vocab_size"],
            context_length=text["context_length"],
        ),
        spatial_tokens=config["spatial_token_num"],
        temporal_tokens=config["temporal_token_num"],
        prior_width=config["out_dim"],
        width=config["hidden_size"],
        heads=config["nhead"],
        encoder_layers=config["num_encoder_layers"],
        decoder_layers=config["num_decoder_layers"],
        mlp_ratio=config["feedforward_scale"],
    )


def load_prior(golden: Golden) -> PriorEncoder:
    """The prior encoder with the golden's weights."""
    config = prior_config(golden.info["config"])
    return load_module(
        golden,
        lambda rngs: PriorEncoder(config, rngs=rngs),
        PRIOR_RULES,
        PRIOR_IGNORED,
    )


@register("stib_prior_*", holds=("in.ib_tokens", "in.text_hidden"))
def run_prior(golden: Golden) -> dict:
    """Text encoder, prior head, and both together, with a given draw."""
    model = load_prior(golden)

    def run(model, ids, hidden, noise):
        moments = model.moments(hidden)
        given = model.split(split_moments(moments).sample(noise))
        whole = model.split(model(ids).sample(noise))
        return {
            "imagebind_text_hidden": model.text.hidden(ids),
            "params": moments,
            "spatial_prior": given[0],
            "temporal_prior": given[1],
            "spatial_prior_from_tokens": whole[0],
            "temporal_prior_from_tokens": whole[1],
        }

    names = ("ib_tokens", "text_hidden", "noise")
    return run_compiled(run, model, *(jnp.asarray(golden.inputs[n]) for n in names))


@register("manifest_stib_prior*", holds=("state_dict.spatial_query_emb",))
def run_prior_manifest(golden: Golden) -> dict:
    """Keys of the full-size prior encoder, with or without its training parts."""
    config = PriorConfig()
    like = abstract(lambda rngs: PriorEncoder(config, rngs=rngs))[1]
    return check_manifest(golden.manifest, like, PRIOR_RULES, PRIOR_IGNORED)
