"""The one table of generators: add a family here, and everything else finds it."""

from collections.abc import Sequence
from typing import NamedTuple

from avits_jax.catalogue.records import Info, converted, shipped

IMAGE, REFINE, PREVIEW = "image", "refine", "preview_decoder"
SHARE = "share_guidance"
"""What not all models can, see `Family`."""
_LACKS = {
    IMAGE: "takes no picture",
    REFINE: "has no second stage",
    PREVIEW: "has no preview decoder",
    SHARE: "does not part its guidance",
}


class Family(NamedTuple):
    """A generator by name, and where its code is.

    Attributes:
        name: on the command line, in code, and in checkpoints (``MODEL.name``).
        description: one line for listings.
        module: dotted path of the module that owes ``MODEL``, its networks as records
            (`avits_jax.weights.model.Model`); ``Options``, a NamedTuple of what the
            model leaves to choose, each with a default and a line in the docstring; and
            ``make(configs, files, options) -> Generator``: sizes by part, the
            checkpoint's folder or None, and the options. It may owe
            ``make_refiner(configs, files, options) -> Refiner``, likewise, the second
            stage for candidates that a search has found with its option ``half_size``;
            ``options`` are those of the search but for that one, and what a second
            stage does not leave to choose (steps, guidance) it passes over. Imported
            when it is needed.
        licence: of the weights, in a few words.
        checkpoint: folder of its weights among the checkpoints.
        shipped: the weights come with the package.
        convert: its name for ``avits convert``; "" where nothing is converted.
        reduced: the small form (``MODEL.reduced``), always with random weights; its
            ``make`` is called with ``reduced=True``.
        refines_with: name of the family whose weights, and whose ``make_refiner``,
            refine its candidates; "" for its own.
        abilities: what it can that not all models can, stated so that nothing is
            imported to refuse the others: "image" (its clips can begin with a picture),
            "refine" (it has a second stage), "preview_decoder" (it has that option),
            "share_guidance" (two devices can share a candidate's rows).
    """

    name: str
    description: str
    module: str
    licence: str
    checkpoint: str = ""
    shipped: bool = False
    convert: str = ""
    reduced: bool = False
    refines_with: str = ""
    abilities: tuple[str, ...] = ()


_JAVISDIT = "avits_jax.generators.javisdit.load"
_LTX2 = "avits_jax.generators.ltx2"
_ALL = (IMAGE, REFINE, PREVIEW)


def _ltx2(name: str, description: str, module: str, refines_with: str = "") -> Family:
    return Family(
        name,
        description,
        f"{_LTX2}.{module}",
        "LTX-2 Community License, Gemma Terms of Use",
        checkpoint=name,
        convert=name,
        refines_with=refines_with,
        abilities=_ALL,
    )


FAMILIES: tuple[Family, ...] = (
    Family(
        "mini",
        "a coloured shape bounces with a sound: 2 s, 32x32, for trying out",
        "avits_jax.generators.mini.load",
        "Apache-2.0",
        checkpoint="mini/generator",
        shipped=True,
        abilities=(SHARE,),
    ),
    Family(
        "javisdit-v0.1",
        "JavisDiT v0.1: joint audio and video from text, 240p, 2 s to 32 s",
        _JAVISDIT,
        "CC BY-NC-SA 4.0 in part",
        checkpoint="javisdit-v0.1",
        convert="javisdit",
        abilities=(SHARE,),
    ),
    Family(
        "javisdit-tiny",
        "JavisDiT with small networks and random weights: noise, for trying out",
        _JAVISDIT,
        "Apache-2.0",
        reduced=True,
        abilities=(SHARE,),
    ),
    _ltx2(
        "ltx-2",
        "LTX-2: video with sound, 19 B, 40 steps",
        "load_2_0",
        refines_with="ltx-2-distilled",
    ),
    _ltx2("ltx-2-distilled", "LTX-2 in 8 steps, unguided", "load_2_0_distilled"),
    _ltx2(
        "ltx-2.3",
        "LTX-2.3: video with sound, 22 B, 30 steps",
        "load",
        refines_with="ltx-2.3-distilled",
    ),
    _ltx2("ltx-2.3-distilled", "LTX-2.3 in 8 steps, unguided", "load_distilled"),
    Family(
        "ltx-2.3-tiny",
        "LTX-2.3 with small networks and random weights: noise, for trying out",
        f"{_LTX2}.load",
        "Apache-2.0",
        reduced=True,
        abilities=_ALL,
    ),
)


def lacking(name: str, ability: str, families: Sequence[Family] = FAMILIES) -> str:
    """Say in a line that a model cannot do something, and which models can.

    Args:
        name: of its family, or of the checkpoint.
        ability: see `Family`.
        families: the table.
    """
    others = [family.name for family in families if ability in family.abilities]
    there = f"models that do: {', '.join(others)}" if others else "no model does"
    return f"{name} {_LACKS[ability]} ({there})"


def infos(families: Sequence[Family] = FAMILIES) -> list[Info]:
    """Return what is known of every generator.

    Args:
        families: the table.
    """
    return [_info(family) for family in families]


def _info(family: Family) -> Info:
    folder = None
    if family.checkpoint:
        home = shipped if family.shipped else converted
        folder = home(family.checkpoint)
    return Info(
        family.name,
        family.description,
        family.licence,
        folder,
        "" if family.shipped or family.reduced else family.module,
        family.convert,
        family.reduced,
    )
