"""LTX-2's networks, each one record: the only place that lists them.

LTX-2 and LTX-2.3 have the same networks of other sizes, and of each there are weights
that were distilled to few steps without guidance: four models.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from flax import nnx

from avits_jax.generators.ltx2.audio_vae import params as audio_params
from avits_jax.generators.ltx2.audio_vae import sharding as audio_sharding
from avits_jax.generators.ltx2.audio_vae.config import AudioVaeConfig
from avits_jax.generators.ltx2.audio_vae.modeling import AudioDecoder, AudioEncoder
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.constants import with_constants
from avits_jax.generators.ltx2.text import params as text_params
from avits_jax.generators.ltx2.text import sharding as text_sharding
from avits_jax.generators.ltx2.text.config import TEXT_2_0, TextConfig
from avits_jax.generators.ltx2.text.modeling import TextEncoder
from avits_jax.generators.ltx2.tiny import TINY
from avits_jax.generators.ltx2.transformer import params as transformer_params
from avits_jax.generators.ltx2.transformer import sharding as transformer_sharding
from avits_jax.generators.ltx2.transformer.config import LTX_2_0, TransformerConfig
from avits_jax.generators.ltx2.transformer.modeling import Transformer
from avits_jax.generators.ltx2.upsampler import params as upsampler_params
from avits_jax.generators.ltx2.upsampler import sharding as upsampler_sharding
from avits_jax.generators.ltx2.upsampler.config import UpsamplerConfig
from avits_jax.generators.ltx2.upsampler.modeling import Upsampler
from avits_jax.generators.ltx2.video_vae import params as video_params
from avits_jax.generators.ltx2.video_vae import sharding as video_sharding
from avits_jax.generators.ltx2.video_vae.config import (
    LTX2_DECODER,
    LTX2_ENCODER,
    VideoDecoderConfig,
    VideoEncoderConfig,
)
from avits_jax.generators.ltx2.video_vae.modeling import VideoDecoder, VideoEncoder
from avits_jax.generators.ltx2.vocoder import params as vocoder_params
from avits_jax.generators.ltx2.vocoder import sharding as vocoder_sharding
from avits_jax.generators.ltx2.vocoder.config import LTX_2_0 as VOCODER_2_0
from avits_jax.generators.ltx2.vocoder.config import VocoderConfig
from avits_jax.generators.ltx2.vocoder.modeling import Vocoder
from avits_jax.networks.taehv import params as taehv_params
from avits_jax.networks.taehv import sharding as taehv_sharding
from avits_jax.networks.taehv.config import TaehvConfig
from avits_jax.networks.taehv.modeling import TaehvDecoder
from avits_jax.nn.abstract import abstract
from avits_jax.types import PyTree
from avits_jax.weights.model import Download, Model, Part

LICENCE = "LTX-2 Community License: free below USD 10 million of annual revenue"
_GEMMA_LICENCE = "Gemma Terms of Use"
_GEMMA = Download(
    "text_encoder/, or a folder gemma*/",
    "google/gemma-3-12b-it-qat-q4_0-unquantized",
    24.4,
    _GEMMA_LICENCE,
)


@cache
def _build(make: Callable[..., nnx.Module], config: Any) -> tuple[Any, PyTree]:
    """Return a network's static graph and the shapes of its weights."""
    return abstract(lambda rngs: make(config, rngs=rngs))


# Latents are un-normalised with them: rounded, they shift everything.
_STATISTICS = ("mean", "std")


def _parts(
    release: str, sizes: Networks, files: tuple[Download, ...]
) -> tuple[Part, ...]:
    """Return the networks of a release.

    Args:
        release: "2" or "2.3", in names of files.
        sizes: of its networks.
        files: the single file, of everything that is not listed beside it.
    """
    upscaler = "2-spatial-upscaler-x2-1.0"
    if release == "2.3":
        upscaler = "2.3-spatial-upscaler-x2-1.1"
    return (
        Part(
            "transformer",
            sizes.transformer,
            partial(_build, Transformer),
            rules=transformer_params.RULES,
            split=transformer_sharding.RULES,
            downloads=files,
            float8=transformer_params.FLOAT8,
        ),
        Part(
            "text",
            sizes.text,
            partial(_build, TextEncoder),
            rules=lambda config: text_params.text_rules(config.gemma.num_states),
            ignored=lambda config: text_params.IGNORED,
            split=text_sharding.RULES,
            downloads=(_GEMMA,),
        ),
        Part(
            "video_decoder",
            sizes.video_decoder,
            partial(_build, VideoDecoder),
            rules=video_params.DECODER_RULES,
            ignored=lambda config: video_params.IGNORED,
            split=video_sharding.RULES,
            float32=_STATISTICS,
        ),
        Part(
            "audio_decoder",
            sizes.audio_decoder,
            partial(_build, AudioDecoder),
            rules=audio_params.DECODER_RULES,
            split=audio_sharding.RULES,
            float32=audio_params.FLOAT32,
        ),
        Part(
            "vocoder",
            sizes.vocoder,
            partial(_build, Vocoder),
            rules=lambda config: (
                vocoder_params.RULES if config.extends else vocoder_params.RULES_2_0
            ),
            ignored=lambda config: vocoder_params.IGNORED,
            split=vocoder_sharding.RULES,
            float32=vocoder_params.FLOAT32,
        ),
        Part(
            "video_encoder",
            sizes.video_encoder,
            partial(_build, VideoEncoder),
            rules=video_params.ENCODER_RULES,
            ignored=lambda config: video_params.IGNORED,
            split=video_sharding.RULES,
            float32=_STATISTICS,
            optional=True,
        ),
        Part(
            "audio_encoder",
            sizes.audio_encoder,
            partial(_build, AudioEncoder),
            rules=audio_params.ENCODER_RULES,
            split=audio_sharding.RULES,
            float32=audio_params.FLOAT32,
            optional=True,
        ),
        Part(
            "upsampler",
            sizes.upsampler,
            partial(_build, Upsampler),
            rules=upsampler_params.RULES,
            ignored=lambda config: upsampler_params.IGNORED,
            split=upsampler_sharding.RULES,
            downloads=(
                Download(
                    f"ltx-{upscaler}.safetensors",
                    f"Lightricks/LTX-{release}",
                    1.0,
                    LICENCE,
                ),
            ),
            optional=True,
        ),
        Part(
            "preview",
            sizes.preview,
            partial(_build, TaehvDecoder),
            rules=taehv_params.RULES,
            ignored=lambda config: taehv_params.IGNORED,
            split=taehv_sharding.RULES,
            downloads=(
                Download(
                    "taeltx2_3.pth" if release == "2.3" else "taeltx_2.pth",
                    "madebyollin/taehv",
                    0.05,
                    "MIT",
                ),
            ),
            optional=True,
        ),
    )


PUBLISHED = Networks(
    transformer=TransformerConfig(),
    text=TextConfig(),
    video_decoder=VideoDecoderConfig(),
    audio_decoder=AudioVaeConfig(),
    vocoder=VocoderConfig(),
    video_encoder=VideoEncoderConfig(),
    audio_encoder=AudioVaeConfig(),
    upsampler=UpsamplerConfig(),
    preview=TaehvConfig(),
)
"""Sizes of LTX-2.3's networks (22B)."""
PUBLISHED_2_0 = PUBLISHED._replace(
    transformer=LTX_2_0,
    text=TEXT_2_0,
    video_decoder=LTX2_DECODER,
    vocoder=VOCODER_2_0,
    video_encoder=LTX2_ENCODER,
)
"""Sizes of LTX-2's networks (19B)."""


def _model(name: str, release: str, file: str, gigabytes: float) -> Model:
    sizes = PUBLISHED if release == "2.3" else PUBLISHED_2_0
    single = Download(
        f"{file}.safetensors", f"Lightricks/LTX-{release}", gigabytes, LICENCE
    )
    return Model(
        name,
        _parts(release, sizes, (single,)),
        join=Networks,
        reduced=TINY._asdict(),
        settle=with_constants,
        notice=f"weights of LTX-{release} are under the LTX-2 Community License (free "
        "below USD 10 million of annual revenue, restrictions of use to be passed on), "
        "those of Gemma-3 under the Gemma Terms of Use",
    )


LTX_2 = _model("ltx-2", "2", "ltx-2-19b-dev", 43.3)
LTX_2_DISTILLED = _model("ltx-2-distilled", "2", "ltx-2-19b-distilled", 43.3)
LTX_2_3 = _model("ltx-2.3", "2.3", "ltx-2.3-22b-dev", 46.1)
LTX_2_3_DISTILLED = _model(
    "ltx-2.3-distilled", "2.3", "ltx-2.3-22b-distilled-1.1", 46.1
)
