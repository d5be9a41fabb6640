"""The one table of networks that judge sets of clips, for Frechet distances and such.

A row here, and `avits list`, `avits list --verify`, `avits convert` and the loaders
know the network.
"""

from typing import NamedTuple

from avits_jax.catalogue.records import Info, converted


class MetricNetwork(NamedTuple):
    """A network whose features or logits a metric of sets is made of.

    Attributes:
        name: of its folder under `avits_jax.metrics`, whose ``parts.py`` has the
            network as ``MODEL`` and loads it with ``load``; of its converted weights;
            and for ``avits convert``.
        description: what it is for.
        licence: of the weights, as far as it was seen.
    """

    name: str
    description: str
    licence: str


NETWORKS: tuple[MetricNetwork, ...] = (
    MetricNetwork("cnn14", "sound: FD_PANNs, inception score, KL", "licence not seen"),
    MetricNetwork("vggish", "sound, every 0.96 s: FD_VGG", "licence not seen"),
    MetricNetwork("passt", "sound: FD_PaSST, inception score, KL", "Apache-2.0"),
    MetricNetwork("i3d", "frames: FVD, KVD", "licence not seen"),
    MetricNetwork("audioclip", "sound: FAD", "MIT code, licence not seen"),
    MetricNetwork("cavp", "picture and sound at 4 a second: CAVP", "Apache-2.0"),
)


def infos() -> list[Info]:
    """Return what is known of every network."""
    return [
        Info(
            each.name,
            each.description,
            each.licence,
            converted(each.name),
            f"avits_jax.metrics.{each.name}.parts",
            each.name,
        )
        for each in NETWORKS
    ]
