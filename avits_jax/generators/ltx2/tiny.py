"""LTX-2.3 with every network real and small, for trying out and for tests."""

from dataclasses import replace

from avits_jax.generators.ltx2.audio_vae.config import AudioVaeConfig
from avits_jax.generators.ltx2.config import Networks
from avits_jax.generators.ltx2.text.config import TINY as TEXT
from avits_jax.generators.ltx2.transformer.config import StreamConfig, TransformerConfig
from avits_jax.generators.ltx2.upsampler.config import UpsamplerConfig
from avits_jax.generators.ltx2.video_vae.config import TINY_DECODER, TINY_ENCODER
from avits_jax.generators.ltx2.vocoder.config import VocoderConfig
from avits_jax.networks.hifigan import HifiGanConfig
from avits_jax.networks.taehv.config import TaehvConfig

RESOLUTION = "64x128"
"""Height and width of a clip, pixels."""
NUM_FRAMES = 17
NUM_STEPS = 4
TEXT_LENGTH = 320
"""Token ids of a prompt, padding included."""

_AUDIO = AudioVaeConfig(width=8, blocks=1)
_SOUND = HifiGanConfig(
    num_mels=128,
    out_channels=2,
    channels=16,  # its coarse stages are split over two devices, the last holds 2
    resblock_kernels=(3,),
    resblock_dilations=((1,),),
    activation="snakebeta",
    last_bias=False,
    tanh=False,
    statistics=False,
)

TINY = Networks(
    transformer=TransformerConfig(
        video=StreamConfig(heads=2, head_width=8),
        audio=StreamConfig(heads=2, head_width=4, limits=(20.0,)),
        depth=2,
        perturbed_block=1,
    ),
    text=TEXT,
    video_decoder=TINY_DECODER,
    audio_decoder=_AUDIO,
    vocoder=VocoderConfig(
        base=replace(
            _SOUND,
            sample_rate=16_000,
            upsample_rates=(10, 8, 2),
            upsample_kernels=(20, 16, 4),
        ),
        extension=replace(
            _SOUND,
            sample_rate=48_000,
            upsample_rates=(10, 8, 3),
            upsample_kernels=(20, 16, 5),
        ),
    ),
    video_encoder=TINY_ENCODER,
    audio_encoder=_AUDIO,
    upsampler=UpsamplerConfig(width=32, num_blocks=1, norm_groups=8),
    preview=TaehvConfig(widths=(16, 8, 8, 8)),
)
"""Sizes of ltx-2.3-tiny."""
