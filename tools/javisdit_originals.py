"""The guided step of JavisDiT's original transformer in torch, for timing beside ours.

Candidates are made one after another, as the published configuration does (batch_size
= 1): in one batch every candidate would look at the priors of all.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.guidance import Latents
from tools.ltx2_originals import default_dtype, torch_device
from tools.originals.importing import package
from tools.originals.javisdit import original_transformer
from tools.originals.stand_ins import filled, registered

_FPS, _LEVEL = 24.0, 500.0  # any of both: they change no shape
_PIXELS = 8  # of a latent's side


def original_step(
    config: TransformerConfig,
    latents: Latents,
    num_tokens: int,
    dtype: str,
    folder: Path | None,
) -> Callable[[], Any]:
    """The original's calls of one guided step, ready to run.

    Both rows of a candidate's guidance are one batch, as its scheduler makes them;
    guidance itself is left out. Attention is torch's own in the place of flash_attn,
    and of xformers where that is not installed.

    Args:
        config: sizes of the network.
        latents: of our candidates, or their shapes.
        num_tokens: of the prompt; the text's padding is left out, as there.
        dtype: "float32" or "bfloat16".
        folder: that holds the checkout.

    Raises:
        NotThere: torch, the checkout or what it needs is not there, or there is no such
            device.
    """
    torch = package("torch")
    device = torch_device(torch)
    computed = torch.float32 if dtype == "float32" else torch.bfloat16
    with torch.device(device), default_dtype(torch, computed):
        model = original_transformer(folder, config, flash=True)
    model = model.to(device, computed).eval().requires_grad_(False)
    arguments = _arguments(torch, config, latents, num_tokens)
    arguments = {
        name: x.to(device, computed if x.is_floating_point() else x.dtype)
        for name, x in arguments.items()
    }
    fused = {"flash_attn": filled("flash_attn", flash_attn_func=_flash(torch))}
    count = latents.video.shape[0]

    def one() -> Any:
        given = dict(arguments)
        # It takes the streams out of what it is given.
        streams = {name: given.pop(name) for name in ("video", "audio")}
        return model(streams, **given)

    def run() -> Any:
        with torch.inference_mode(), registered(fused):
            found = [one() for _ in range(count)]
        if device == "cuda":
            torch.cuda.synchronize()
        return found

    return run


def _arguments(
    torch: Any, config: TransformerConfig, latents: Latents, num_tokens: int
) -> dict[str, Any]:
    """Return the arguments of one call: a candidate with its prompt and without."""
    rows, length = 2, config.text_length
    height, width = (_PIXELS * side for side in latents.video.shape[2:4])

    def random(*shape: int) -> Any:
        return torch.randn(rows, *shape)

    def stream(latent: Any) -> Any:
        *sides, channels = latent.shape[1:]
        return random(channels, *sides)

    return {
        "video": stream(latents.video),
        "audio": stream(latents.audio),
        "timestep": torch.full((rows,), _LEVEL),
        "y": random(1, length, config.text_width),
        "mask": torch.from_numpy(np.arange(length)[None] < num_tokens).long(),
        "fps": torch.full((1,), _FPS),
        "height": torch.full((rows,), float(height)),
        "width": torch.full((rows,), float(width)),
        "spatial_prior": random(config.spatial_tokens, config.prior_width),
        "temporal_prior": random(config.temporal_tokens, config.prior_width),
    }


def _flash(torch: Any) -> Callable[..., Any]:
    """Return torch's attention with flash_attn's order of dimensions."""
    attend = torch.nn.functional.scaled_dot_product_attention

    def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False):
        """``[B, L, H, D]``."""
        heads_first = (x.transpose(1, 2) for x in (q, k, v))
        found = attend(
            *heads_first, dropout_p=dropout_p, scale=softmax_scale, is_causal=causal
        )
        return found.transpose(1, 2)

    return flash_attn_func
