"""All keys of LTX-2's published files, in both layouts, and every weight of ours."""

from collections.abc import Iterable, Mapping
from typing import Any

from avits_jax.converting import ltx2_names as names
from avits_jax.converting.ltx2_names import Home
from avits_jax.generators.ltx2 import parts
from avits_jax.weights.model import Model, Part
from tools.parity.checks import Expect
from tools.parity.golden import Golden
from tools.parity.manifests import check_manifest
from tools.parity.registry import register

_MODELS = {"ltx2_19b": parts.LTX_2, "ltx2_3_22b": parts.LTX_2_3}
_GEMMA = "gemma"
Entries = Mapping[str, Any]


def by_part(
    entries: Entries, homes: Mapping[str, Home | None]
) -> dict[str, dict[str, Any]]:
    """``key -> [shape, dtype]`` of each part, by module names.

    Args:
        entries: of a file or folder.
        homes: where its keys belong.

    Raises:
        ValueError: a key belongs nowhere, or two become one.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, home in homes.items():
        if home is None or home.why:
            raise ValueError(f"{key} belongs nowhere")
        for part in home.parts:
            own = found.setdefault(part, {})
            if home.name in own:
                raise ValueError(f"{key} and another are both {part} {home.name}")
            own[home.name] = entries[key]
    return found


def _sections(golden: Golden) -> Iterable[tuple[Entries, Mapping[str, Home | None]]]:
    """Yield what the manifest lists of each file or folder, and the keys' homes."""
    if golden.info["meta"]["naming"] == "diffusers":
        folders = zip(names.DIFFUSERS_FOLDERS, golden.manifest.values(), strict=True)
        for folder, entries in folders:
            yield entries, names.diffusers(folder, entries)
    else:
        for entries in golden.manifest.values():
            yield entries, {key: names.single_file(key) for key in entries}


def _check(part: Part, entries: Entries) -> Expect:
    """Every key is read once, every weight filled; Gemma is no part of the manifest."""
    like, rules = part.build(part.config)[1], part.rules_for(part.config)
    if part.name == names.TEXT:
        like = {key: tree for key, tree in like.items() if key != _GEMMA}
        rules = tuple(r for r in rules if not r.target.startswith(f"{_GEMMA}."))
    return check_manifest(entries, like, rules, part.ignored(part.config))["keys"]


@register(
    "manifest_ltx2_19b_*",
    "manifest_ltx2_3_22b_*",
    holds=("tensors.av_transformer", "tensors.embeddings_processor"),
)
def run_manifest(golden: Golden) -> dict[str, Expect]:
    """Every key of a whole model, and every weight of its parts."""
    model = _MODELS[golden.info["meta"]["model"]]
    found: dict[str, dict[str, Any]] = {}
    for entries, homes in _sections(golden):
        for part, own in by_part(entries, homes).items():
            found.setdefault(part, {}).update(own)
    known = {part.name: part for part in model.parts}
    # Of the encoders the file lists what they share with the decoders alone.
    whole = {name: x for name, x in found.items() if not name.endswith("_encoder")}
    return {name: _check(known[name], entries) for name, entries in whole.items()}


@register("manifest_ltx2_vae_encoders*", holds=("tensors.video_vae_encoder_2_0",))
def run_encoders(golden: Golden) -> dict[str, Expect]:
    """Every key of the encoders of pictures and of sound."""
    results = {}
    for name, entries in golden.manifest.items():
        homes = {key: names.single_file(key) for key in entries}
        model: Model = parts.LTX_2 if name.endswith("2_0") else parts.LTX_2_3
        (part,) = (each for each in by_part(entries, homes) if "encoder" in each)
        known = {each.name: each for each in model.parts}
        own = by_part(entries, homes)[part]
        results[name] = _check(known[part], own)
    return results
