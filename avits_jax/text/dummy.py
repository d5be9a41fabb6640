"""Token ids without a vocabulary, for networks with random weights (host only)."""

import re
import zlib
from collections.abc import Callable

QWEN2_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|VQ_reward|>",
    "<|MQ_reward|>",
    "<|TA_reward|>",
)
"""Special tokens of VideoReward's Qwen2-VL, ids 151643 to 151659: the last of all."""

_PIECE = re.compile(r" ?\w{1,6}|\W", re.ASCII)
# First id of words, ids of special tokens after the words, ids put around a text.
_LAYOUT: dict[str, tuple[int, int, tuple[int, ...], tuple[int, ...]]] = {
    "t5": (3, 0, (), (1,)),
    "roberta": (4, 1, (0,), (2,)),
    "qwen2": (0, len(QWEN2_SPECIAL), (), ()),
    "gemma3": (5, 0, (2,), ()),
}


def dummy(kind: str, vocab_size: int) -> Callable[[str], list[int]]:
    """Return a tokenizer that needs no files: each piece of a word gets some id.

    The same piece always gets the same id, about as many ids come out as of the real
    tokenizer, and special tokens are where the real one has them: ``t5`` has padding 0,
    end 1; ``roberta`` start 0, padding 1, end 2; ``gemma3`` padding 0, start 2;
    ``qwen2`` has `QWEN2_SPECIAL` as its last ids, which are the published ones if
    ``vocab_size`` is 151660. Only for networks whose weights are random: trained ones
    read noise.

    Args:
        kind: "t5", "roberta", "qwen2" or "gemma3".
        vocab_size: all ids are below this.

    Raises:
        ValueError: unknown kind, or a vocabulary without room for a word.
    """
    if kind not in _LAYOUT:
        raise ValueError(f"kind must be one of {tuple(_LAYOUT)}, got {kind!r}")
    first, reserved, start, end = _LAYOUT[kind]
    words = vocab_size - first - reserved
    if words < 1:
        raise ValueError(
            f"vocab_size of a {kind} dummy tokenizer must be at least "
            f"{first + reserved + 1}, got {vocab_size}"
        )
    special: dict[str, int] = {}
    if kind == "qwen2":
        special = {name: words + i for i, name in enumerate(QWEN2_SPECIAL)}
    splitter = re.compile("(" + "|".join(map(re.escape, special)) + ")")

    def tokenize(text: str) -> list[int]:
        ids = list(start)
        for part in splitter.split(text) if special else [text]:
            if part in special:
                ids.append(special[part])
                continue
            pieces = _PIECE.findall(part)
            ids += [first + zlib.crc32(piece.encode()) % words for piece in pieces]
        return [*ids, *end]

    return tokenize
