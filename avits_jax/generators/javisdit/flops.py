"""Operations of one evaluation of JavisDiT's transformer, from sizes alone."""

import math

from avits_jax.generators.javisdit.config import TransformerConfig
from avits_jax.generators.javisdit.modeling import NUMBER_WIDTH, PriorScope
from avits_jax.generators.javisdit.sizes import ClipSizes


def evaluation_flops(
    config: TransformerConfig, clip: ClipSizes, prior_scope: PriorScope
) -> float | None:
    """Return the operations of one row of the batch, in matrix products.

    What a prompt or a candidate fixes once (keys and values of text and priors) is left
    out. The text is as long as can be; each token less saves two keys of every query.

    Args:
        config: sizes of the transformer.
        clip: sizes of the clip.
        prior_scope: whose priors a row sees, see `couple_rows`.

    Returns:
        The operations; None for the scope "batch", where a row sees more priors the
        more candidates are worked on together.
    """
    if prior_scope == "batch":
        return None
    width = config.width
    seen = 2 if prior_scope == "candidate" else 1
    priors = seen * (config.spatial_tokens + config.temporal_tokens)
    mlp = 2 * width * config.mlp_width
    # Of a token in a level, all in multiply-adds. Self-attention within frames and
    # along time, each with text attention and an MLP; attention to both priors with an
    # MLP; the exchange, whose inner width is half; queries and keys along time turned.
    matrices = 2 * (6 * width**2 + mlp) + (4 * width**2 + mlp) + 3 * width**2 // 2
    matrices += 2 * width * config.head_width
    sizes = clip.video_tokens, clip.audio_tokens
    video, audio = (times * places for times, places in sizes)
    level = 2 * video * audio * width  # attention in the exchange
    for times, places in sizes:
        # A key that is looked at costs a product with the query, one with its weight.
        keys = places + times + 2 * config.text_length + priors
        level += times * places * (matrices + 2 * keys * width)
    modulations = 2 * (6 + 9) * width**2  # of each stream
    inside = config.depth * level + modulations
    return 2.0 * inside + flops_outside_levels(config, clip)


def flops_outside_levels(config: TransformerConfig, clip: ClipSizes) -> float:
    """Return those of `evaluation_flops` that are left without the levels.

    Modulations count, though only the levels read them: at few numbers a row they are
    next to nothing.
    """
    # Predictions have twice the latents' channels.
    width = config.width
    video, audio = (
        times * places for times, places in (clip.video_tokens, clip.audio_tokens)
    )
    ends = 3 * width * video * math.prod((*config.video_patch, config.video_channels))
    ends += 3 * width * audio * math.prod((*config.audio_patch, config.audio_channels))
    numbers = 2 * (NUMBER_WIDTH + width) * width  # timestep and frame rate
    return 2.0 * (ends + numbers)
