"""LTX-2's networks of pictures beside diffusers' classes."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from avits_jax.converting import ltx2_names
from avits_jax.generators.ltx2.upsampler import params as upsampler_names
from avits_jax.generators.ltx2.upsampler.config import (
    SPATIAL_1_5,
    TEMPORAL,
    UpsamplerConfig,
)
from avits_jax.generators.ltx2.video_vae import params as video_names
from avits_jax.generators.ltx2.video_vae.config import (
    LTX2_DECODER,
    LTX2_ENCODER,
    VideoDecoderConfig,
    VideoEncoderConfig,
)
from avits_jax.generators.ltx2.video_vae.modeling import (
    VideoDecoder,
    VideoEncoder,
    build_decoder,
    build_encoder,
)
from tools.originals.importing import package
from tools.originals.ltx2 import pipelines, translated
from tools.originals.pairs import (
    Net,
    Pair,
    draw,
    first_axis_last,
    last_axis_first,
    program,
    settle,
    torch_program,
)

_KINDS = {
    (2, 2, 2): "spatiotemporal",
    (2, 1, 1): "temporal",
    (1, 2, 2): "spatial",
}


def video_decoder(folder: Path | None) -> Pair:
    """LTX-2's decoder of pictures."""
    del folder
    return _video_decoder(LTX2_DECODER)


def video_decoder_2_3(folder: Path | None) -> Pair:
    """LTX-2.3's decoder of pictures."""
    del folder
    return _video_decoder(VideoDecoderConfig())


def _video_decoder(published: VideoDecoderConfig) -> Pair:
    """Latents to 9 frames of 256x384 pixels."""
    torch, diffusers = package("torch"), package("diffusers")
    config = replace(published, depths=(1,) * len(published.depths))
    back = config.resamples[::-1]
    made = diffusers.AutoencoderKLLTX2Video(
        # As published; by its default it is causal, whatever `decode` is told.
        decoder_causal=False,
        decoder_layers_per_block=config.depths,
        decoder_block_out_channels=config.widths[-2::-1],
        decoder_spatio_temporal_scaling=True,
        decoder_inject_noise=False,
        decoder_spatial_padding_mode="reflect" if config.reflect else "zeros",
        upsample_type=[_KINDS[each.stride] for each in config.resamples],
        upsample_residual=[each.residual for each in back],
        upsample_factor=[each.factor for each in back],
        block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5,
    )
    model = settle(torch, made)
    part = partial(translated, "vae", ltx2_names.VIDEO_DECODER)
    net = Net(
        *build_decoder(config),
        video_names.DECODER_RULES,
        video_names.IGNORED,
        part,
    )
    latents = draw(1, config.latent_channels, 2, 8, 12)
    return Pair(
        program(net, model, VideoDecoder.decode, first_axis_last(latents)),
        torch_program(torch, lambda z: model.decode(z, causal=False).sample, latents),
        last_axis_first,
    )


def video_encoder(folder: Path | None) -> Pair:
    """LTX-2's encoder of pictures."""
    del folder
    return _video_encoder(LTX2_ENCODER)


def video_encoder_2_3(folder: Path | None) -> Pair:
    """LTX-2.3's encoder of pictures."""
    del folder
    return _video_encoder(VideoEncoderConfig())


def _video_encoder(published: VideoEncoderConfig) -> Pair:
    """9 frames of 256x384 pixels to their latents."""
    torch, diffusers = package("torch"), package("diffusers")
    config = replace(published, depths=(1,) * len(published.depths))
    decoder = {
        "decoder_block_out_channels": (16,) * 3,
        "decoder_layers_per_block": (1,) * 4,
    }
    made = diffusers.AutoencoderKLLTX2Video(
        block_out_channels=config.widths[1:],
        layers_per_block=config.depths,
        **decoder,
    )
    model = settle(torch, made)
    part = partial(translated, "vae", ltx2_names.VIDEO_ENCODER)
    net = Net(
        *build_encoder(config),
        video_names.ENCODER_RULES,
        video_names.IGNORED,
        part,
    )
    frames = draw(1, config.channels, 9, 256, 384)
    return Pair(
        program(net, model, VideoEncoder.encode, first_axis_last(frames)),
        torch_program(torch, lambda x: model.encode(x).latent_dist.mode(), frames),
        last_axis_first,
    )


def upsampler(folder: Path | None) -> Pair:
    """To twice the rows and columns."""
    del folder
    return _upsampler(UpsamplerConfig())


def upsampler_1_5(folder: Path | None) -> Pair:
    """To 1.5 times the rows and columns."""
    del folder
    return _upsampler(SPATIAL_1_5)


def temporal_upsampler(folder: Path | None) -> Pair:
    """To twice the frames."""
    del folder
    return _upsampler(TEMPORAL)


def _upsampler(published: UpsamplerConfig) -> Pair:
    torch, config = package("torch"), replace(published, num_blocks=1)
    rational = config.shrink > 1
    made = pipelines().LTX2LatentUpsamplerModel(
        in_channels=config.channels,
        mid_channels=config.width,
        num_blocks_per_stage=config.num_blocks,
        spatial_upsample=config.space > 1,
        temporal_upsample=config.time > 1,
        rational_spatial_scale=config.space / config.shrink,
        use_rational_resampler=rational,
    )
    model = settle(torch, made)
    rules, ignored = upsampler_names.RULES, upsampler_names.IGNORED
    net = Net(*upsampler_names.build(config), rules, ignored)
    latents = draw(1, config.channels, 3, 8, 12)
    return Pair(
        program(net, model, lambda model, x: model(x), first_axis_last(latents)),
        torch_program(torch, model, latents),
        last_axis_first,
    )
