"""Generators by name: networks, weights and tokenizers behind one contract."""

from pathlib import Path

from avits_jax.catalogue import Info, find, shipped
from avits_jax.checkpoint import read_manifest
from avits_jax.types import Generator, PyTree


def available() -> list[Info]:
    """Return what `load` knows by name."""
    return [
        Info(
            "mini",
            "a coloured shape bounces with a sound: 2 s, 32x32, for trying out",
            "nothing",
            "Apache-2.0",
            shipped("mini/generator"),
        )
    ]


def load(
    name: str,
    *,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
) -> tuple[Generator, PyTree]:
    """Load a generator and its weights.

    Args:
        name: a name of `available`, or a checkpoint folder.
        num_steps: denoising steps; None for the model's default.
        guidance_scale: classifier-free guidance; None for the model's default.

    Returns:
        The generator and its weights, float32 on the default device.

    Raises:
        ValueError: the name is unknown, the checkpoint is missing, damaged or of
            another model, or an option is out of range.

    Example:
        >>> generator, params = avits.generators.load("mini", num_steps=12)
    """
    options = {"num_steps": num_steps, "guidance_scale": guidance_scale}
    options = {key: value for key, value in options.items() if value is not None}
    folder = Path(name)
    if folder.is_dir():
        model = read_manifest(folder)["model"]
    else:
        info = find("model", name, available())
        model, folder = info.name, info.folder
    if model != "mini":
        known = ", ".join(info.name for info in available())
        raise ValueError(
            f"{folder} is a checkpoint of {model!r}, which is no generator "
            f"(there are: {known})"
        )
    # Networks are imported when they are asked for: the core must stay quick to import.
    from avits_jax.generators.mini.generator import load as load_mini

    return load_mini(folder, **options)
