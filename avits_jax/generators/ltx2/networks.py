"""LTX-2's networks together: static graphs, shapes, and sizes that fit."""

from typing import Any

from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.parts import LTX_2_3


def networks(config: Networks) -> tuple[Networks, Networks]:
    """Return static graphs and parameter shapes of all networks, without their memory.

    Args:
        config: sizes of the networks, ``()`` of those that are left out; so are their
            graphs and shapes then.
    """
    made: dict[str, tuple[Any, Any]] = {
        part.name: part.build(sizes) if sizes else ((), ())
        for part in LTX_2_3.parts
        for sizes in [getattr(config, part.name)]
    }
    graphs = Networks(**{name: graph for name, (graph, _) in made.items()})
    return graphs, Networks(**{name: like for name, (_, like) in made.items()})


def check_sizes(config: Networks) -> None:
    """Check that the networks' sizes fit each other.

    Raises:
        ValueError: some do not; all of them are listed.
    """
    video, audio = config.transformer.video, config.transformer.audio
    connectors = config.text.connectors
    caption = config.transformer.caption_width
    pairs = {
        "text.connectors.video": (connectors.video.width, caption or video.width),
        "text.connectors.audio": (connectors.audio.width, caption or audio.width),
        "video_decoder.latent_channels": (
            config.video_decoder.latent_channels,
            video.channels,
        ),
        "audio_decoder.features": (config.audio_decoder.features, audio.channels),
        "vocoder.num_mels": (config.vocoder.num_mels, config.audio_decoder.num_mels),
        "vocoder.channels": (config.vocoder.channels, config.audio_decoder.channels),
    }
    for name, field in (
        ("video_encoder", "latent_channels"),
        ("upsampler", "channels"),
        ("preview", "latent_channels"),
    ):
        if sizes := getattr(config, name):
            pairs[f"{name}.{field}"] = getattr(sizes, field), video.channels
    if config.audio_encoder:
        pairs["audio_encoder.features"] = config.audio_encoder.features, audio.channels
    faults = [
        f"{name} is {found}, expected {wanted}"
        for name, (found, wanted) in pairs.items()
        if found != wanted
    ]
    if faults:
        raise ValueError(f"networks do not fit each other: {'; '.join(faults)}")
