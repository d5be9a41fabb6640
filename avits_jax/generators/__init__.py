"""Generators by name: networks, weights and tokenizers behind one contract."""

from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from avits_jax.catalogue.generators import JAVISDIT, JAVISDIT_TINY, infos
from avits_jax.catalogue.records import Info, find
from avits_jax.types import Generator, PyTree
from avits_jax.weights.checkpoint import read_manifest
from avits_jax.weights.parts import is_in_parts, read_index

__all__ = ["available", "load", "random_ones"]


def available() -> list[Info]:
    """Return what `load` knows by name."""
    return infos()


def load(
    name: str,
    *,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
    resolution: str | None = None,
    aspect_ratio: str | None = None,
    duration: str | None = None,
    dtype: str | None = None,
    random_weights: bool = False,
    seed: int = 0,
    mesh: Mesh | None = None,
    **options: Any,
) -> tuple[Generator, PyTree]:
    """Load a generator and its weights.

    Args:
        name: a name of `available`, or a checkpoint folder.
        num_steps: denoising steps; None for the model's default, as everywhere here.
        guidance_scale: classifier-free guidance.
        resolution: "240p" and others; only JavisDiT, likewise the next two.
        aspect_ratio: height to width, "9:16" and others.
        duration: "2s", "4s" and others, or a number of frames.
        dtype: "float32" or "bfloat16"; None for bfloat16 on accelerators and float32 on
            a CPU. Mini's is float32 whatever is asked for.
        random_weights: draw weights that are missing; clips are then noise.
        seed: of drawn weights.
        mesh: read large weights straight onto these devices, split over its model axis
            (see `avits_jax.parallel`); None for the default device. Mini is small.
        **options: more of the model's own, see `avits_jax.generators.javisdit.load`.

    Returns:
        The generator and its weights.

    Raises:
        ValueError: the name is unknown, the checkpoint is missing, damaged or of
            another model, or an option is out of range or of another model.

    Example:
        >>> generator, params = avits.generators.load("mini", num_steps=12)
    """
    model, folder = _locate(name, random_weights)
    sizes = {
        "resolution": resolution,
        "aspect_ratio": aspect_ratio,
        "duration": duration,
        **options,
    }
    given = {"num_steps": num_steps, "guidance_scale": guidance_scale, **sizes}
    given = {key: value for key, value in given.items() if value is not None}
    if model == "mini":
        own = [key for key in sizes if key in given]
        if own:
            raise ValueError(f"mini has one size: {' and '.join(own)} cannot be chosen")
        from avits_jax.generators.mini.generator import load as load_mini

        assert folder is not None
        return load_mini(folder, **given)
    # Networks are imported when they are asked for: the core must stay quick to import.
    from avits_jax.generators.javisdit.load import load as load_javisdit
    from avits_jax.weights.network import Weights, check_dtype

    weights = Weights(folder, check_dtype(dtype), seed, mesh)
    return load_javisdit(weights, tiny=model == JAVISDIT_TINY, **given)


def random_ones(name: str, random_weights: bool = False) -> tuple[str, ...]:
    """Return the name if its weights are drawn, so that its clips are noise.

    Args:
        name: as for `load`.
        random_weights: as for `load`.
    """
    if _is_folder(name):
        return ()
    info = find("model", name, infos())
    drawn = info.random or (random_weights and not info.present)
    return (name,) if drawn else ()


def _is_folder(name: str) -> bool:
    """Tell whether a name is a checkpoint folder; a model's name is never one."""
    return name not in [info.name for info in infos()] and Path(name).is_dir()


def _locate(name: str, random_weights: bool) -> tuple[str, Path | None]:
    """Return the model's name and its checkpoint; None where weights are drawn."""
    if _is_folder(name):
        return _model_of(Path(name)), Path(name)
    info = find("model", name, infos())
    if info.random or (random_weights and not info.present):
        return info.name, None
    if not info.present:
        raise ValueError(info.missing)
    return info.name, info.folder


def _model_of(folder: Path) -> str:
    model = (read_index if is_in_parts(folder) else read_manifest)(folder)["model"]
    if model not in ("mini", JAVISDIT):
        known = ", ".join(info.name for info in infos())
        raise ValueError(
            f"{folder} is a checkpoint of {model!r}, which is no generator "
            f"(there are: {known})"
        )
    return model
