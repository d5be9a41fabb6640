"""Make tests/golden/ltx2/taehv_tiny.* anew: TAEHV's decoder with small random weights.

Run it where torch 2.13, tqdm and safetensors are installed, with a checkout of
https://github.com/madebyollin/taehv (MIT licence):

    python tools/goldens/taehv_golden.py tests/golden/ltx2 --originals taehv

The original fixes its widths, so the small decoder is put together from its layers in
its order; at the published widths it must be the original's own decoder, layer by
layer. Decoding is the original's. Shapes of the published LTX-2 file are stored too.
"""

import argparse
import hashlib
import importlib
import json
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

PUBLISHED = {"patch_size": 4, "latent_channels": 128}
PUBLISHED_WIDTHS = (256, 128, 64, 64)
SMALL = {"patch_size": 2, "latent_channels": 7}
WIDTHS = (10, 8, 6, 5)
ALL = (True, True, True)
# Layers whose outputs are stored: behind the first convolution, and each stage.
STAGES = {"in": 2, "0": 8, "1": 14, "2": 20}
TOLERANCE = 2e-5


def decoder_of(taehv: Any, widths: tuple[int, ...], sizes: Mapping[str, int]):
    """The layers of TAEHV's plain decoder for other widths, every stage doubling."""
    layers = [taehv.Clamp(), taehv.conv(sizes["latent_channels"], widths[0])]
    layers += [nn.ReLU(inplace=True)]
    for inputs, outputs in pairwise(widths):
        layers += [taehv.MemBlock(inputs, inputs) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), taehv.TGrow(inputs, 2)]
        layers += [taehv.conv(inputs, outputs, bias=False)]
    pixels = 3 * sizes["patch_size"] ** 2
    layers += [nn.ReLU(inplace=True), taehv.conv(widths[-1], pixels)]
    return nn.Sequential(*layers)


def original(taehv: Any, sizes: Mapping[str, int]) -> Any:
    """The original without weights, with what it takes for an LTX-2 file."""
    return taehv.TAEHV(
        None, encoder_time_downscale=ALL, decoder_time_upscale=ALL, **sizes
    )


def small_model(taehv: Any) -> Any:
    """The original with a small decoder of random weights."""
    published = original(taehv, PUBLISHED).decoder
    if repr(decoder_of(taehv, PUBLISHED_WIDTHS, PUBLISHED)) != repr(published):
        raise SystemExit(f"the original's decoder has other layers:\n{published}")
    model = original(taehv, SMALL)
    model.decoder = decoder_of(taehv, WIDTHS, SMALL)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.decoder.named_parameters():
            fan_in = value[0].numel()
            scale = fan_in**-0.5 if name.endswith("weight") else 0.3
            value.copy_(scale * torch.randn(value.shape, generator=random))
        # Most pixels inside [0, 1], some beyond.
        model.decoder[-1].weight *= 0.3
        model.decoder[-1].bias += 0.5
    return model


@torch.no_grad()
def run(model: Any, latents: torch.Tensor) -> dict[str, torch.Tensor]:
    """Stages and frames of latents ``[N, f, C, h, w]``."""
    found = {}

    def keep(name: str):
        # What follows works in place.
        return lambda layer, args, output: found.update({name: output.clone()})

    hooks = [
        model.decoder[index].register_forward_hook(keep(f"stage.{name}"))
        for name, index in STAGES.items()
    ]
    frames = model.decode_video(latents, show_progress_bar=False)
    for hook in hooks:
        hook.remove()
    split = {k: v.unflatten(0, (len(latents), -1)) for k, v in found.items()}
    return {**split, "frames": frames}


def make_arrays(model: Any) -> tuple[dict[str, torch.Tensor], float]:
    """Inputs and outputs by their stored name, and the distance to float64."""
    random = torch.Generator().manual_seed(1)
    channels = SMALL["latent_channels"]
    # Wide enough for the bound at three to matter.
    base = 2 * torch.randn(1, 2, channels, 1, 2, generator=random)
    odd = torch.randn(2, 1, channels, 2, 1, generator=random)
    outputs = run(model, base)
    outputs["odd.frames"] = run(model, odd)["frames"]
    exact = run(model.double(), base.double())
    exact["odd.frames"] = run(model, odd.double())["frames"]
    error = max(float((outputs[key] - exact[key]).abs().max()) for key in outputs)
    model.float()
    arrays = {"in.latents": base, "in.odd.latents": odd}
    return arrays | {f"out.{key}": value for key, value in outputs.items()}, error


def describe(taehv: Any, arrays: Mapping[str, torch.Tensor], error: float) -> dict:
    """What the JSON says."""
    source = Path(taehv.__file__).read_bytes()
    state = original(taehv, PUBLISHED).state_dict()
    return {
        "what": "TAEHV's decoder in LTX-2's form: normalised latents to frames in "
        "[0, 1]; all frames at once, the first 7 dropped",
        "reference": "madebyollin/taehv, taehv.py of sha256 "
        f"{hashlib.sha256(source).hexdigest()}, torch {torch.__version__}; "
        "the small decoder is put together from its layers",
        "constructor": {
            **SMALL,
            "widths": WIDTHS,
            "decoder_time_upscale": ALL,
            "decoder_space_upscale": ALL,
        },
        "cases": {
            "base": "in.latents -> stage.in, stage.0, stage.1, stage.2 -> frames",
            "odd": "in.odd.latents, batch > 1, one frame -> odd.frames",
        },
        "notes": "All arrays are [N, frames, channels, height, width], as the "
        "original takes and gives them. stage.in is behind the first ReLU; a stage "
        "ends with its last convolution, before frames are dropped.",
        "tolerance": {
            "atol": TOLERANCE,
            "rtol": TOLERANCE,
            "max_abs_diff_to_float64": error,
        },
        "weights_keys": "names of the published files",
        "published": {
            key: [list(value.shape), str(value.dtype).removeprefix("torch.")]
            for key, value in state.items()
        },
        "io": {
            key: [list(value.shape), str(value.dtype).removeprefix("torch.")]
            for key, value in arrays.items()
        },
    }


def main() -> None:
    """Write taehv_tiny.json, .io.npz and .weights.safetensors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--originals", type=Path, required=True)
    given = parser.parse_args()
    sys.path.insert(0, str(given.originals))
    taehv = importlib.import_module("taehv")
    model = small_model(taehv)
    arrays, error = make_arrays(model)
    if 5 * error > TOLERANCE:
        raise SystemExit(f"float64 differs by {error}")
    path = given.folder / "taehv_tiny"
    info = describe(taehv, arrays, error)
    path.with_suffix(".json").write_text(json.dumps(info, indent=1) + "\n", "utf-8")
    np.savez_compressed(
        path.with_suffix(".io.npz"), **{key: x.numpy() for key, x in arrays.items()}
    )
    weights = {f"decoder.{k}": v for k, v in model.decoder.state_dict().items()}
    save_file(weights, path.with_suffix(".weights.safetensors"))
    frames = arrays["out.frames"]
    clipped = float(((frames == 0) | (frames == 1)).float().mean())
    print(f"{len(weights)} tensors, error {error:.1e}, {clipped:.0%} of pixels clipped")


if __name__ == "__main__":
    main()
