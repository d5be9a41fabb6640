"""Verifiers by name: networks, weights and tokenizers behind one contract."""

from collections.abc import Sequence

from avits_jax.catalogue import Info, find, shipped
from avits_jax.types import PyTree, Verifier

_MINI = {
    "mini_tv": "text-video match of mini's clips (log-probability)",
    "mini_ta": "text-audio match of mini's clips (log-probability)",
    "mini_av": "audio-video synchrony of mini's clips (log-probability)",
}


def available() -> list[Info]:
    """Return what `load` knows by name."""
    return [
        Info(name, text, "nothing", "Apache-2.0", shipped(f"mini/{name}"))
        for name, text in _MINI.items()
    ]


def load(
    names: Sequence[str], *, fps: float | None = None, sample_rate: int | None = None
) -> tuple[tuple[Verifier, ...], tuple[PyTree, ...]]:
    """Load verifiers and their weights.

    Args:
        names: names of `available`, in the order of the reward columns.
        fps: frames per second of the clips to score; None for the verifiers' own.
        sample_rate: Hz of their sound; None for the verifiers' own.

    Returns:
        Verifiers, and one tree of weights for each.

    Raises:
        ValueError: no name, an unknown name, a rate that a verifier cannot take, or a
            checkpoint that is missing or damaged.

    Example:
        >>> verifiers, vparams = avits.verifiers.load(["mini_tv", "mini_av"])
    """
    if isinstance(names, str) or not names:
        raise ValueError(f"names must list at least one verifier, got {names!r}")
    infos = [find("verifier", name, available()) for name in names]
    from avits_jax.generators.mini import world
    from avits_jax.verifiers.mini.verifier import load as load_mini

    if fps not in (None, world.FPS) or sample_rate not in (None, world.SAMPLE_RATE):
        raise ValueError(
            f"fps and sample_rate must be {world.FPS:g} and {world.SAMPLE_RATE} for "
            f"{', '.join(names)}, got {fps} and {sample_rate}"
        )
    loaded = [load_mini(info.name, info.folder) for info in infos]
    return tuple(v for v, _ in loaded), tuple(weights for _, weights in loaded)
