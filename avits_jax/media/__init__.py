"""Clips and prompts as files: reading, writing, fitting. Host only."""

from avits_jax.files.atomic import replacing, write_bytes, write_json, write_text
from avits_jax.media.clip import Clip
from avits_jax.media.fitting import fit_clip, mono_sound
from avits_jax.media.images import picture_mark, read_image
from avits_jax.media.labels import weights_label
from avits_jax.media.prompts import Prompt, count_prompts, read_prompts
from avits_jax.media.reading import read_clip
from avits_jax.media.saving import save
from avits_jax.media.writing import write_clip

__all__ = [
    "Clip",
    "Prompt",
    "count_prompts",
    "fit_clip",
    "mono_sound",
    "picture_mark",
    "read_clip",
    "read_image",
    "read_prompts",
    "replacing",
    "save",
    "weights_label",
    "write_bytes",
    "write_clip",
    "write_json",
    "write_text",
]
