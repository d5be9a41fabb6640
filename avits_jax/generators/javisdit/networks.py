"""JavisDiT's networks together: static graphs, shapes, and sizes that fit."""

from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.parts import PARTS, build_transformer
from avits_jax.generators.javisdit.schedule import Precision


def networks(
    config: Networks, precision: Precision = "float32"
) -> tuple[Networks, Networks]:
    """Return static graphs and parameter shapes of all networks, without their memory.

    Args:
        config: sizes of the networks.
        precision: see `Transformer`.
    """
    made = {
        part.name: part.build(sizes) for part, sizes in zip(PARTS, config, strict=True)
    }
    made["transformer"] = build_transformer(config.transformer, precision)
    graphs = Networks(**{name: graph for name, (graph, _) in made.items()})
    return graphs, Networks(**{name: like for name, (_, like) in made.items()})


def check_sizes(config: Networks) -> None:
    """Check that the networks' sizes fit each other.

    Raises:
        ValueError: some do not; all of them are listed.
    """
    transformer, prior = config.transformer, config.prior
    spatial, temporal = config.video_vae.spatial, config.video_vae.temporal
    pairs = {
        "t5.d_model": (config.t5.d_model, transformer.text_width),
        "prior.prior_width": (prior.prior_width, transformer.prior_width),
        "prior.spatial_tokens": (prior.spatial_tokens, transformer.spatial_tokens),
        "prior.temporal_tokens": (prior.temporal_tokens, transformer.temporal_tokens),
        "video_vae.temporal.embed_channels": (
            temporal.embed_channels,
            transformer.video_channels,
        ),
        "video_vae.spatial.latent_channels": (
            spatial.latent_channels,
            temporal.channels,
        ),
        "audio_vae.vae.latent_channels": (
            config.audio_vae.vae.latent_channels,
            transformer.audio_channels,
        ),
    }
    faults = [
        f"{name} is {found}, expected {wanted}"
        for name, (found, wanted) in pairs.items()
        if found != wanted
    ]
    if faults:
        raise ValueError(f"networks do not fit each other: {'; '.join(faults)}")
