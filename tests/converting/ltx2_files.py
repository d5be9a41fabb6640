"""What LTX-2's published files list, and files with tensors of one number."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from avits_jax.converting.ltx2_names import DIFFUSERS_FOLDERS
from avits_jax.weights.model import Model, Part

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ltx2"
PARTS = (
    "transformer",
    "text",
    "video_decoder",
    "audio_decoder",
    "vocoder",
    "video_encoder",
    "audio_encoder",
    "upsampler",
    "preview",
)
OPTIONAL = PARTS[5:]


def listed(name):
    """Keys and shapes of a manifest of full size, by what it lists separately."""
    with zipfile.ZipFile(GOLDEN / "manifests.zip") as archive:
        tensors = json.loads(archive.read(f"manifest_{name}.json"))["tensors"]
    flat = {"": tensors} if "gemma" in name else tensors
    return {
        group: {key: tuple(shape) for key, (shape, _) in entries.items()}
        for group, entries in flat.items()
    }


def single_file(release):
    """Keys and shapes of the single file, encoders included."""
    name = {"2": "ltx2_19b", "2.3": "ltx2_3_22b"}[release]
    encoders = listed("ltx2_vae_encoders")
    video = encoders[f"video_vae_encoder_{'2_0' if release == '2' else '2_3'}"]
    groups = [*listed(f"{name}_original").values(), video]
    groups.append(encoders["audio_vae_encoder"])
    return {key: shape for group in groups for key, shape in group.items()}


def diffusers(release):
    """Keys and shapes of the folders in diffusers' layout, without encoders."""
    name = {"2": "ltx2_19b", "2.3": "ltx2_3_22b"}[release]
    groups = listed(f"{name}_diffusers").values()
    return dict(zip(DIFFUSERS_FOLDERS, groups, strict=True))


def gemma():
    """Keys and shapes of the text tower."""
    return listed("gemma3_12b_text")[""]


def few(keys):
    """Keys but those of the third layer and later ones of long lists."""
    late = r"(transformer_blocks|layers|transformer_1d_blocks|res\w+)\.([2-9]|\d\d)\."
    return [key for key in keys if not re.search(late, key)]


def write_ones(path, keys):
    """Write a file of tensors with one number each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: np.ones(1, np.float32) for key in keys}, path)


def model_of(name="ltx-2.3", parts=PARTS):
    """A model with these parts, of which files are found but no network is built."""
    return Model(
        name,
        tuple(
            Part(part, None, lambda config: (None, {}), optional=part in OPTIONAL)
            for part in parts
        ),
    )
