"""What is compared: every ported network, and where its original comes from.

Two single operations go before: what they take in either framework, networks take.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tools.originals.importing import CHECKOUTS

TORCH, TRANSFORMERS, DIFFUSERS = "torch", "transformers", "diffusers"


class Case(NamedTuple):
    """One forward pass.

    Attributes:
        name: of the network, unique.
        sizes: what is reduced; widths are the published ones unless it says so.
        source: package or checkout of the original.
        module: of this folder.
        function: in it, which makes the `Pair` of a folder of checkouts or None.
    """

    name: str
    sizes: str
    source: str
    module: str
    function: str

    def make(self, folder: Path | None) -> Any:
        """Return the `Pair`, importing what it takes."""
        found = importlib.import_module(f"tools.originals.{self.module}")
        make: Callable[[Path | None], Any] = getattr(found, self.function)
        return make(folder)


CASES = tuple(
    Case(*row)
    for row in (
        (
            "one matrix product",
            "256x1024 by 1024x4096",
            TORCH,
            "operations",
            "product",
        ),
        (
            "one convolution",
            "3x3, 128 channels of 64x64",
            TORCH,
            "operations",
            "convolution",
        ),
        (
            "JavisDiT transformer",
            "1 of 28 levels, 160 + 64 tokens, 2 rows, 300 of text",
            "JavisDiT",
            "javisdit",
            "transformer",
        ),
        (
            "JavisDiT video VAE, frames",
            "1 frame of 64x64",
            DIFFUSERS,
            "javisdit",
            "spatial_decoder",
        ),
        (
            "JavisDiT video VAE, time",
            "17 frames of 128x128",
            "JavisDiT",
            "javisdit",
            "temporal_decoder",
        ),
        (
            "JavisDiT audio VAE and vocoder",
            "32 rows of mel",
            DIFFUSERS,
            "javisdit",
            "audio_decoder",
        ),
        (
            "JavisDiT video encoder, frames",
            "1 frame of 64x64",
            DIFFUSERS,
            "javisdit_encoders",
            "spatial_encoder",
        ),
        (
            "JavisDiT video encoder, time",
            "17 frames of 128x128",
            "JavisDiT",
            "javisdit_encoders",
            "temporal_encoder",
        ),
        (
            "JavisDiT audio encoder",
            "32 rows of mel",
            DIFFUSERS,
            "javisdit_encoders",
            "audio_encoder",
        ),
        (
            "JavisDiT prior encoder",
            "2 of 24 blocks, 4 + 4 of 4 + 4 layers, 1 text",
            "JavisDiT",
            "javisdit_encoders",
            "prior_encoder",
        ),
        (
            "ImageBind vision",
            "2 of 32 blocks, 1 clip",
            "ImageBind",
            "verifiers",
            "imagebind_vision",
        ),
        (
            "ImageBind audio",
            "2 of 12 blocks, 3 clips",
            "ImageBind",
            "verifiers",
            "imagebind_audio",
        ),
        (
            "ImageBind text",
            "2 of 24 blocks, 1 text",
            "ImageBind",
            "verifiers",
            "imagebind_text",
        ),
        ("CLAP audio", "whole, 10 s", TRANSFORMERS, "verifiers", "clap_audio"),
        (
            "CLAP text",
            "2 of 12 layers, 64 tokens",
            TRANSFORMERS,
            "verifiers",
            "clap_text",
        ),
        (
            "VideoReward (Qwen2-VL)",
            "2 of 32 blocks and 2 of 28 layers, 256 patches, 127 tokens",
            TRANSFORMERS,
            "towers",
            "video_reward",
        ),
        (
            "VQAScore (CLIP-FlanT5)",
            "2 of 23 layers, 1 + 1 of 24 + 24, 1 picture, 40 tokens",
            TRANSFORMERS,
            "towers",
            "vqa_score",
        ),
        (
            "Synchformer",
            "2 of 12 + 12 blocks, 3 of 3, 1 of 14 segments",
            "Synchformer",
            "hearing",
            "synchformer",
        ),
        (
            "Audiobox",
            "2 of 12 layers, 4 s",
            "audiobox-aesthetics",
            "hearing",
            "audiobox",
        ),
        (
            "CLIP vision",
            "2 of 12 layers, 4 pictures",
            TRANSFORMERS,
            "towers",
            "clip_vision",
        ),
        ("CLIP text", "2 of 12 layers, 1 text", TRANSFORMERS, "towers", "clip_text"),
        (
            "T5 encoder",
            "1 of 24 layers, 128 tokens",
            TRANSFORMERS,
            "towers",
            "t5_encoder",
        ),
        (
            "LTX-2.3 transformer",
            "1 of 48 blocks, half as wide, 72 + 26 tokens, 128 of text",
            DIFFUSERS,
            "ltx2",
            "transformer",
        ),
        (
            "LTX-2 transformer",
            "1 of 48 blocks, half as wide, 72 + 26 tokens, 128 of text",
            DIFFUSERS,
            "ltx2",
            "transformer_2_0",
        ),
        (
            "LTX-2 video decoder",
            "1 of 5 blocks a stage, 9 frames of 256x384",
            DIFFUSERS,
            "ltx2_video",
            "video_decoder",
        ),
        (
            "LTX-2.3 video decoder",
            "1 of 2 to 6 blocks a stage, 9 frames of 256x384",
            DIFFUSERS,
            "ltx2_video",
            "video_decoder_2_3",
        ),
        (
            "LTX-2 video encoder",
            "1 of 2 to 6 blocks a stage, 9 frames of 256x384",
            DIFFUSERS,
            "ltx2_video",
            "video_encoder",
        ),
        (
            "LTX-2.3 video encoder",
            "1 of 2 to 6 blocks a stage, 9 frames of 256x384",
            DIFFUSERS,
            "ltx2_video",
            "video_encoder_2_3",
        ),
        (
            "LTX-2 upsampler, x2",
            "1 + 1 of 4 + 4 blocks, 3 latent frames of 8x12",
            DIFFUSERS,
            "ltx2_video",
            "upsampler",
        ),
        (
            "LTX-2.3 upsampler, x1.5",
            "1 + 1 of 4 + 4 blocks, 3 latent frames of 8x12",
            DIFFUSERS,
            "ltx2_video",
            "upsampler_1_5",
        ),
        (
            "LTX-2 upsampler of time, x2",
            "1 + 1 of 4 + 4 blocks, 3 latent frames of 8x12",
            DIFFUSERS,
            "ltx2_video",
            "temporal_upsampler",
        ),
        (
            "LTX-2 audio decoder",
            "whole, 1 s",
            DIFFUSERS,
            "ltx2_sound",
            "audio_decoder",
        ),
        (
            "LTX-2 audio encoder",
            "whole, 1 s of mel",
            DIFFUSERS,
            "ltx2_sound",
            "audio_encoder",
        ),
        ("LTX-2.3 vocoder", "whole, 0.2 s", DIFFUSERS, "ltx2_sound", "vocoder"),
        ("LTX-2 vocoder", "whole, 0.2 s", DIFFUSERS, "ltx2_sound", "vocoder_2_0"),
        (
            "LTX-2.3 connectors",
            "1 of 8 blocks, 5 of 49 states, 128 tokens",
            DIFFUSERS,
            "ltx2_text",
            "connectors_2_3",
        ),
        (
            "LTX-2 connectors",
            "1 of 2 blocks, 5 of 49 states, 128 tokens",
            DIFFUSERS,
            "ltx2_text",
            "connectors_2_0",
        ),
        (
            "Gemma-3 text tower",
            "1 of 48 layers, 128 tokens",
            TRANSFORMERS,
            "towers",
            "gemma",
        ),
        ("TAEHV", "17 frames of 128x192", "taehv", "ltx2", "taehv"),
        ("I3D", "whole, 16 frames of 224x224", "JavisDiT", "metrics", "i3d"),
        ("AudioCLIP", "whole, 2 sounds of 2 s", "AudioCLIP", "metrics", "audioclip"),
        (
            "CAVP video",
            "whole, 4 frames of 224x224",
            "JavisDiT",
            "metrics",
            "cavp_video",
        ),
        ("CAVP audio", "whole, 4 s of mel", "JavisDiT", "metrics", "cavp_audio"),
        ("Cnn14", "whole, 4 s of mel", "av-benchmark", "metrics", "cnn14"),
        ("VGGish", "whole, 4 pieces of mel", "av-benchmark", "metrics", "vggish"),
        (
            "PaSST",
            "2 of 12 blocks, 10 s of mel",
            "passt_hear21",
            "metrics",
            "passt",
        ),
    )
)


def sources() -> str:
    """Where originals come from, for a reader of the command line's help."""
    checkouts = ", ".join(
        f"{each.repository} at {each.commit}" for each in CHECKOUTS.values()
    )
    return f"packages {TORCH}, {TRANSFORMERS} and {DIFFUSERS}; checkouts of {checkouts}"
