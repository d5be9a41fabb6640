"""How the sound autoencoder's published weights map onto `AudioDecoder` and encoder.

Names are those of ltx-core's modules: the single file's without ``audio_vae.decoder.``
or ``audio_vae.encoder.``, and the statistics' without ``audio_vae.``.
"""

from avits_jax.weights.name_map import Rule, conv


def _block(source: str, target: str) -> tuple[Rule, ...]:
    return (
        *conv(f"{source}.conv1.conv", f"{target}.conv1"),
        *conv(f"{source}.conv2.conv", f"{target}.conv2"),
        *conv(f"{source}.nin_shortcut.conv", f"{target}.shortcut"),
    )


_SHARED = (
    Rule("per_channel_statistics.mean-of-means", "statistics.mean"),
    Rule("per_channel_statistics.std-of-means", "statistics.std"),
    *conv("conv_in.conv", "conv_in"),
    *_block("mid.block_1", "middle1"),
    *_block("mid.block_2", "middle2"),
    *conv("conv_out.conv", "conv_out"),
)
DECODER_RULES = (
    *_SHARED,
    *_block("up.{level}.block.{i}", "levels.{level}.blocks.{i}"),
    *conv("up.{level}.upsample.conv.conv", "levels.{level}.resample"),
)
ENCODER_RULES = (
    *_SHARED,
    *_block("down.{level}.block.{i}", "levels.{level}.blocks.{i}"),
    *conv("down.{level}.downsample.conv", "levels.{level}.resample"),
)
FLOAT32 = ("statistics",)
"""What stays float32: the statistics of tokens."""
