"""The guided step of diffusers' LTX-2 transformer in torch, for timing beside ours."""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple
from unittest import mock

import jax

from avits_jax.catalogue.generators import Family
from avits_jax.generators.ltx2 import guidance, load
from avits_jax.generators.ltx2.load_distilled import make as make_distilled
from avits_jax.generators.ltx2.parts import LTX_2_3
from avits_jax.generators.ltx2.sizes import ClipSizes
from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.text.config import ConnectorsConfig, HeadsConfig
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.generators.ltx2.transformer.config import StreamConfig, TransformerConfig

_HEAD = 64  # of the resized reduced form
_LEVEL = 500.0  # any noise level: it changes no shape


class NotThere(Exception):
    """What it takes is not installed, or has no such device; the message names it."""


class Sizes(NamedTuple):
    """What a guided step depends on.

    Attributes:
        transformer: sizes of the network.
        clip: sizes of the clip.
        branches: rows of a candidate.
    """

    transformer: TransformerConfig
    clip: ClipSizes
    branches: tuple[Branch, ...]


@contextlib.contextmanager
def resized(asked: str | None) -> Iterator[None]:
    """Give ltx-2.3-tiny a transformer of blocks x width, as "4x512"; None: as it is."""
    if asked is None:
        yield
        return
    depth, width = map(int, asked.split("x"))
    heads = width // _HEAD
    transformer = TransformerConfig(
        StreamConfig(heads=heads, head_width=_HEAD),
        StreamConfig(heads=heads, head_width=_HEAD // 2, limits=(20.0,)),
        depth=depth,
        perturbed_block=depth // 2,
    )
    connectors = ConnectorsConfig(
        HeadsConfig(heads, _HEAD), HeadsConfig(heads, _HEAD // 2), depth=1, registers=8
    )
    sizes = dict(LTX_2_3.reduced) | {
        "transformer": transformer,
        "text": replace(LTX_2_3.reduced["text"], connectors=connectors),
    }
    with mock.patch.object(load, "MODEL", LTX_2_3._replace(reduced=sizes)):
        yield


def sizes_of(family: Family, options: dict[str, Any]) -> Sizes:
    """Sizes of a model's guided step with options of its own."""
    module = importlib.import_module(family.module)
    own = module.Options(**options)
    if family.reduced:
        transformer = module.MODEL.reduced["transformer"]
    else:
        (transformer,) = (
            part.config for part in module.MODEL.parts if part.name == "transformer"
        )
    distilled = module.make is make_distilled
    scales = guidance.NONE if distilled else load.scales_of(own)
    clip = load.sizes_of(own, family.reduced)
    return Sizes(transformer, clip, guidance.branches(scales))


def constructor(config: TransformerConfig) -> dict[str, Any]:
    """What diffusers' class takes for our sizes."""
    found: dict[str, Any] = {
        "num_layers": config.depth,
        "caption_channels": config.caption_width,
        "use_prompt_embeddings": config.caption_width > 0,
        "norm_eps": config.epsilon,
        "rope_theta": config.theta,
        "rope_type": "split",
        "timestep_scale_multiplier": int(config.time_scale),
        "cross_attn_timestep_scale_multiplier": int(config.gate_time_scale),
        "perturbed_attn": True,
    }
    for prefix, stream in (("", config.video), ("audio_", config.audio)):
        found |= {
            f"{prefix}in_channels": stream.channels,
            f"{prefix}out_channels": stream.channels,
            f"{prefix}num_attention_heads": stream.heads,
            f"{prefix}attention_head_dim": stream.head_width,
            f"{prefix}cross_attention_dim": stream.width,
            f"{prefix}gated_attn": config.gated,
            f"{prefix}cross_attn_mod": config.text_modulated,
        }
    return found


def original_step(
    sizes: Sizes, texts: Streams, count: int, dtype: str
) -> Callable[[], Any]:
    """diffusers' calls of one guided step, as its pipeline makes them, ready to run.

    Conditional and unconditional rows are one batch; perturbed and isolated ones are
    calls of their own. Positions are made beforehand; no mask is given for the text,
    which is the faster way; guidance itself is left out.

    Args:
        sizes: of the step.
        texts: contexts ``[P, L, D]`` of our prompt, for their shapes.
        count: candidates.
        dtype: "float32", "bfloat16" or "float8" (stored; cast where it is used).

    Raises:
        NotThere: torch or diffusers is not installed, or has no such device.
    """
    try:
        torch = importlib.import_module("torch")
        diffusers = importlib.import_module("diffusers")
        made = diffusers.LTX2VideoTransformer3DModel
    except (ImportError, AttributeError) as error:
        raise NotThere(str(error)) from error
    device = torch_device(torch)
    computed = torch.float32 if dtype == "float32" else torch.bfloat16
    with torch.device(device), default_dtype(torch, computed):
        model = made(**constructor(sizes.transformer)).eval().requires_grad_(False)
    if dtype == "float8":
        model.enable_layerwise_casting(torch.float8_e4m3fn, computed)
    calls = [
        _call(torch, model, sizes, texts, group, count)
        for group in _groups(sizes.branches)
    ]

    def run() -> Any:
        with torch.inference_mode():
            found = [model(**arguments) for arguments in calls]
        if device == "cuda":
            torch.cuda.synchronize()
        return found

    return run


def torch_device(torch: Any) -> str:
    """Return torch's name of the device that JAX works on.

    Raises:
        NotThere: torch has no such device.
    """
    device = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if device == "cuda" and not torch.cuda.is_available():
        raise NotThere("torch finds no GPU")
    if device not in ("cuda", "cpu"):
        raise NotThere(f"torch does not run on a {device} here")
    return device


@contextlib.contextmanager
def default_dtype(torch: Any, dtype: Any) -> Iterator[None]:
    """Let torch make new numbers in a dtype inside."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _groups(branches: tuple[Branch, ...]) -> list[tuple[Branch, ...]]:
    """Return the branches of each call."""
    special = [each for each in branches if each.perturbed or each.isolated]
    together = tuple(each for each in branches if each not in special)
    return [together, *((each,) for each in special)]


def _call(
    torch: Any,
    model: Any,
    sizes: Sizes,
    texts: Streams,
    group: tuple[Branch, ...],
    count: int,
) -> dict[str, Any]:
    """Return the arguments of one call of the transformer."""
    config, clip, rows = sizes.transformer, sizes.clip, len(group) * count
    like = next(
        each for each in model.parameters() if each.dtype != torch.float8_e4m3fn
    )
    options = {"device": like.device, "dtype": like.dtype}
    lengths = texts.video.shape[1]
    frames, height, width = clip.grid

    def random(*shape: int) -> Any:
        return torch.randn(rows, *shape, **options)

    level = torch.full((rows,), _LEVEL, **options)
    blocks = [config.perturbed_block] if group[0].perturbed else None
    return {
        "hidden_states": random(clip.video_tokens, config.video.channels),
        "audio_hidden_states": random(clip.audio_tokens, config.audio.channels),
        "encoder_hidden_states": random(lengths, texts.video.shape[2]),
        "audio_encoder_hidden_states": random(lengths, texts.audio.shape[2]),
        "timestep": level,
        "sigma": level,
        "video_coords": model.rope.prepare_video_coords(
            rows, frames, height, width, like.device, fps=clip.fps
        ),
        "audio_coords": model.audio_rope.prepare_audio_coords(
            rows, clip.audio_tokens, like.device
        ),
        "isolate_modalities": group[0].isolated,
        "spatio_temporal_guidance_blocks": blocks,
        "use_cross_timestep": config.text_modulated,
        "return_dict": False,
    }
