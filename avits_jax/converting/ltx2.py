"""LTX-2's published files, in any of their layouts, as the networks they hold.

A source is the single file, or a folder with one, or a folder in the layout of
diffusers. Beside it lie Gemma-3 (``text_encoder/``, or a folder named ``gemma*``) and,
where they are wanted, a latent upsampler and a decoder for previews. Facts of keys and
names of files: diffusers' conversion script (scripts/convert_ltx2_to_diffusers.py).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from avits_jax.converting import ltx2_names as names
from avits_jax.converting.files import Found, read_weights, some, tokenizer_files
from avits_jax.converting.ltx2_names import Home
from avits_jax.weights.model import Model
from avits_jax.weights.name_map import WeightsError

State = Mapping[str, Any]
Homes = Mapping[str, Home | None]

UPSAMPLER, PREVIEW = "upsampler", "preview"
_GEMMA_FOLDERS = ("text_encoder", "gemma*")
_UPSAMPLERS = ("latent_upsampler", "*spatial-upscaler-x2*.safetensors")
_PREVIEWS = ("tae*",)
# Other published files that lie beside the single file.
_BESIDE = ("*lora*", "*upscaler*", *_PREVIEWS)
_SCALED = (".weight_scale", ".input_scale")
# Halves that only some uses need, and their other halves.
_OTHER_HALF = {
    names.AUDIO_ENCODER: names.AUDIO_DECODER,
    names.VIDEO_ENCODER: names.VIDEO_DECODER,
}


def find_ltx2(model: Model, source: Path) -> dict[str, Found]:
    """Return what there is of every network, by part; only headers are read.

    Args:
        model: which of its parts are looked for, and which release it is of.
        source: the single file, or a folder.

    Raises:
        WeightsError: files are damaged, several to choose from, or of another release;
            or keys belong to no network of LTX-2.
    """
    wanted = [part.name for part in model.parts]
    folder = source if source.is_dir() else source.parent
    found = _Collected(model.name, wanted)
    for state, homes in _networks(source):
        found.add(state, homes)
    check_release(model.name, found.states.get(names.TRANSFORMER, {}))
    gemma = _pick(folder, _GEMMA_FOLDERS) if names.TEXT in wanted else None
    if gemma is not None:
        state = read_weights(gemma)
        found.add(state, {key: names.gemma(key) for key in state})
    elif names.TEXT in found.states:
        raise WeightsError(
            f"{folder} lacks Gemma-3, in text_encoder/ or a folder named gemma*"
        )
    for part, patterns in ((UPSAMPLER, _UPSAMPLERS), (PREVIEW, _PREVIEWS)):
        path = _pick(folder, patterns) if part in wanted else None
        if path is not None:
            found.states[part] = dict(read_weights(path))
    tokenizer = {}
    if gemma is not None:
        tokenizer = tokenizer_files(gemma) or tokenizer_files(folder)
    return found.by_part({names.TEXT: tokenizer})


class _Collected:
    """Keys by the part that takes them."""

    def __init__(self, model: str, wanted: list[str]) -> None:
        self._model, self._wanted = model, wanted
        self.states: dict[str, dict[str, Any]] = {}
        self._dropped: dict[str, dict[str, str]] = {}

    def add(self, state: State, homes: Homes) -> None:
        """Add the keys of one file or folder, each to the parts that take it."""
        unknown = [key for key in state if homes[key] is None]
        if unknown:
            raise WeightsError(
                f"{len(unknown)} keys belong to no network of LTX-2: {some(unknown)}"
            )
        for key, home in homes.items():
            assert home is not None
            takers = [part for part in home.parts if part in self._wanted]
            if home.why or not takers:
                self._drop(key, home)
                continue
            for part in takers:
                own = self.states.setdefault(part, {})
                if home.name in own:
                    raise WeightsError(f"{key} is there twice, for {part} {home.name}")
                own[home.name] = state[key]

    def _drop(self, key: str, home: Home) -> None:
        part = home.parts[0]
        why = home.why or f"of the {part.replace('_', ' ')}, which is not used"
        near = _OTHER_HALF.get(part, part)
        near = near if near in self._wanted else self._wanted[0]
        self._dropped.setdefault(near, {})[key] = why

    def by_part(self, tokenizers: Mapping[str, Mapping[str, Path]]) -> dict[str, Found]:
        """Return everything that was found."""
        return {
            part: Found(state, tokenizers.get(part, {}), self._dropped.get(part, {}))
            for part, state in self.states.items()
        }


def _networks(source: Path) -> Iterable[tuple[State, Homes]]:
    """Yield the files or folders of everything but Gemma, with their keys' homes."""
    folders = [source / name for name in names.DIFFUSERS_FOLDERS]
    folders = [each for each in folders if each.is_dir()]
    for folder in folders:
        state = read_weights(folder)
        yield state, names.diffusers(folder.name, state)
    if not folders:
        file = source if source.is_file() else _single_file(source)
        state = read_weights(file)
        scaled = [key for key in state if key.endswith(_SCALED)]
        if scaled:
            raise WeightsError(
                f"{file} holds scaled float8 weights ({scaled[0]}); convert the "
                "bfloat16 file, with --dtype float8 to store its linear layers so"
            )
        yield state, {key: names.single_file(key) for key in state}


def _single_file(folder: Path) -> Path:
    files = [
        path
        for path in sorted(folder.glob("*.safetensors"))
        if not any(path.match(pattern) for pattern in _BESIDE)
    ]
    if len(files) != 1:
        listed = ", ".join(path.name for path in files)
        known = ", ".join(f"{name}/" for name in names.DIFFUSERS_FOLDERS)
        raise WeightsError(
            f"{folder} holds several weight files, name one: {listed}"
            if files
            else f"{folder} holds neither LTX-2's single file nor the folders {known}"
        )
    return files[0]


def _pick(folder: Path, patterns: Iterable[str]) -> Path | None:
    """Return the only file or folder of a name like the first pattern that fits."""
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            listed = ", ".join(path.name for path in found)
            raise WeightsError(
                f"{folder} holds several of {pattern}, keep one: {listed}"
            )
        if found:
            return found[0]
    return None


def check_release(model: str, transformer: State) -> None:
    """Refuse the transformer of another release than a model's.

    Args:
        model: its name.
        transformer: state dict by module names, {} where there is none.
    """
    if not transformer:
        return
    found = "2"
    if "keyframes_abs_pos_embedding" in transformer:
        found = "2.5"
    elif any("prompt_adaln_single." in key for key in transformer):
        found = "2.3"
    asked = "2.3" if model.startswith("ltx-2.3") else "2"
    if found != asked:
        raise WeightsError(
            f"these are weights of LTX-{found}, not of LTX-{asked}, which {model} is"
        )
