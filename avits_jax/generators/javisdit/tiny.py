"""JavisDiT with every module real and small, for trying out and for tests."""

from avits_jax.generators.javisdit.audio_vae import AudioVaeConfig
from avits_jax.generators.javisdit.config import Networks, TransformerConfig
from avits_jax.generators.javisdit.prior import PriorConfig
from avits_jax.generators.javisdit.temporal_vae import TemporalVaeConfig
from avits_jax.generators.javisdit.video_vae import VideoVaeConfig
from avits_jax.networks.autoencoder_kl import AutoencoderKLConfig
from avits_jax.networks.hifigan import HifiGanConfig
from avits_jax.networks.imagebind.config import EncoderConfig, ImageBindConfig
from avits_jax.networks.t5.modeling import T5Config

TINY_SIZE = (48, 64)
"""Height and width of a clip, pixels."""
TINY_FRAMES = 17
"""Frames of a clip: one chunk of the video autoencoder."""
TINY_FPS = 8
"""Frames per second, so that a clip lasts two seconds all the same."""
TINY_STEPS = 4
"""Denoising steps."""

TINY = Networks(
    transformer=TransformerConfig(
        width=32,
        depth=2,
        heads=2,
        mlp_ratio=2.0,
        text_width=32,
        prior_width=16,
        spatial_tokens=4,
        temporal_tokens=4,
    ),
    prior=PriorConfig(
        imagebind=ImageBindConfig(text=EncoderConfig(32, 2, 2), embed_dim=16),
        spatial_tokens=4,
        temporal_tokens=4,
        prior_width=16,
        width=32,
        heads=2,
        encoder_layers=1,
        decoder_layers=1,
        mlp_ratio=2,
    ),
    video_vae=VideoVaeConfig(
        spatial=AutoencoderKLConfig(
            block_channels=(8, 8, 8, 16), layers_per_block=1, norm_groups=4
        ),
        temporal=TemporalVaeConfig(width=8, num_blocks=1, norm_groups=4),
        frames_at_once=17,
    ),
    audio_vae=AudioVaeConfig(
        vae=AutoencoderKLConfig(
            in_channels=1,
            out_channels=1,
            block_channels=(8, 8, 16),
            layers_per_block=1,
            latent_channels=8,
            norm_groups=4,
        ),
        vocoder=HifiGanConfig(
            channels=64,
            resblock_kernels=(3, 7),
            resblock_dilations=((1,), (3,)),
        ),
    ),
    t5=T5Config(
        vocab_size=384, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2
    ),
)
"""Sizes of javisdit-tiny."""
