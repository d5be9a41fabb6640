"""Operations of the transformer in matrix products, from sizes alone.

What noise levels are embedded by is left out: less than a thousandth.
"""

from collections.abc import Sequence

from avits_jax.generators.ltx2.streams import Streams
from avits_jax.generators.ltx2.transformer.branches import Branch
from avits_jax.generators.ltx2.transformer.config import StreamConfig, TransformerConfig


def row_flops(
    config: TransformerConfig, tokens: Streams, text_tokens: int, *, isolated: bool
) -> float:
    """Return the operations of one row of the batch, its text's keys and values aside.

    Args:
        config: sizes of the transformer.
        tokens: `Streams` of how many tokens there are.
        text_tokens: of a prompt.
        isolated: whether the streams do not see each other.
    """
    block = 0
    pairs = (config.video, *tokens), (config.audio, *tokens[::-1])
    for stream, count, other in pairs:
        width, inner = stream.width, config.audio.width
        # Of a token: attention to itself (four matrices), text (two), the MLP (eight).
        matrices = (4 + 2 + 8) * width**2 + _gate(config, stream, 2 * stream.heads)
        # A key that is looked at costs a product with the query, one with its weight.
        keys = 2 * width * (count + text_tokens)
        if not isolated:
            # To ask the other stream (two matrices), and to be asked by it (two).
            matrices += 4 * width * inner + _gate(config, stream, config.audio.heads)
            keys += 2 * inner * other
        block += count * (matrices + keys)
    return 2.0 * config.depth * block + ends_flops(config, tokens)


def ends_flops(config: TransformerConfig, tokens: Streams) -> float:
    """Return the operations of one row of the batch that are not in the blocks.

    Args:
        config: sizes of the transformer.
        tokens: `Streams` of how many tokens there are.
    """
    pairs = (config.video, tokens.video), (config.audio, tokens.audio)
    return sum(4.0 * stream.width * stream.channels * count for stream, count in pairs)


def text_flops(config: TransformerConfig, text_tokens: int) -> float:
    """Return the operations of a prompt's keys and values in all blocks.

    They are needed once for all rows of a call where the noise level modulates the
    text, once for all steps else.
    """
    widths = sum(2 * stream.width**2 for stream in (config.video, config.audio))
    return 2.0 * config.depth * text_tokens * widths


def step_flops(
    config: TransformerConfig,
    tokens: Streams,
    text_tokens: int,
    branches: Sequence[Branch] = (Branch(),),
) -> float:
    """Return the operations of one call for one candidate, all branches together.

    Args:
        config: sizes of the transformer.
        tokens: `Streams` of how many tokens there are.
        text_tokens: of a prompt.
        branches: of the candidate.
    """
    rows = sum(
        row_flops(config, tokens, text_tokens, isolated=branch.isolated)
        for branch in branches
    )
    if not config.text_modulated:
        return rows
    prompts = {branch.text for branch in branches}
    return rows + len(prompts) * text_flops(config, text_tokens)


def _gate(config: TransformerConfig, stream: StreamConfig, heads: int) -> int:
    return stream.width * heads if config.gated else 0
