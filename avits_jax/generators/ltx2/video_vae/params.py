"""Names of the published video autoencoder, as ltx-core's modules have them.

In the single file ``vae.decoder.`` or ``vae.encoder.`` stands before them, and ``vae.``
before the statistics, which both networks have.
"""

from avits_jax.weights.name_map import Rule, conv, linear

_STATISTICS = "per_channel_statistics"
_COMMON: tuple[Rule, ...] = (
    Rule(f"{_STATISTICS}.mean-of-means", "mean"),
    Rule(f"{_STATISTICS}.std-of-means", "std"),
    *conv("conv_in.conv", "conv_in"),
    *conv("conv_out.conv", "conv_out"),
)


def _blocks(name: str) -> tuple[Rule, ...]:
    block = f"{name}.{{index}}"
    layer = f"{block}.res_blocks.{{layer}}"
    return (
        *conv(f"{layer}.conv1.conv", "blocks.{index}.layers.conv1"),
        *conv(f"{layer}.conv2.conv", "blocks.{index}.layers.conv2"),
        *conv(f"{block}.conv.conv", "blocks.{index}.conv"),
    )


def _level(source: str, target: str) -> tuple[Rule, ...]:
    embedder = f"{source}.timestep_embedder"
    return (
        *linear(f"{embedder}.linear_1", f"{target}.up"),
        *linear(f"{embedder}.linear_2", f"{target}.down"),
    )


_LAYER = "up_blocks.{index}.res_blocks.{layer}"
DECODER_RULES: tuple[Rule, ...] = (
    *_COMMON,
    *_blocks("up_blocks"),
    # Of a decoder that is told the noise level, which no published one is.
    Rule(f"{_LAYER}.scale_shift_table", "blocks.{index}.layers.table"),
    *_level("up_blocks.{index}.time_embedder", "blocks.{index}.level"),
    *_level("last_time_embedder", "level"),
    Rule("last_scale_shift_table", "table"),
    Rule("timestep_scale_multiplier", "level_scale"),
)

ENCODER_RULES: tuple[Rule, ...] = (*_COMMON, *_blocks("down_blocks"))

_UNUSED = "a statistic of the training data that the networks do not use"
IGNORED: dict[str, str] = {
    f"{_STATISTICS}.{name}": _UNUSED
    for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
}
