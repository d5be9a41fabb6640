"""ImageBind's text tokens: CLIP's lower-cased byte-pair encoding; on the host.

The merges are CLIP's own (MIT), shipped beside this file, since ImageBind's weights
bring none.

Upstream: openai/CLIP, clip/simple_tokenizer.py, and facebookresearch/ImageBind,
imagebind/models/multimodal_preprocessors.py (SimpleTokenizer).
"""

import gzip
import html
from functools import cache
from importlib import resources

import ftfy
import numpy as np
from jaxtyping import Int
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

START, END = 49_406, 49_407
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_SUFFIX = "</w>"


def _byte_names() -> list[str]:
    """Return a printable name for each byte: first those that are printable."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = (byte for byte in range(256) if byte not in shown)
    return [chr(b) for b in shown] + [chr(256 + i) for i, _ in enumerate(hidden)]


@cache
def _bpe() -> Tokenizer:
    packed = resources.files(__package__).joinpath("clip_merges.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").splitlines()
    merges = [(left, right) for left, right in map(str.split, lines)]
    names = _byte_names()
    tokens = [*names, *(name + _SUFFIX for name in names), *map("".join, merges)]
    vocab = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(BPE(vocab, merges, end_of_word_suffix=_SUFFIX))
    split = Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = Sequence(
        [split, ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return tokenizer


def clean(text: str) -> str:
    """Mend broken encodings and HTML entities, collapse white space, lower-case."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def count_tokens(text: str) -> int:
    """Count the ids of a text, start and end among them, when nothing is cut."""
    return len(_bpe().encode(clean(text)).ids) + 2


def encode(
    text: str, length: int = 77, *, keep_end: bool = True
) -> Int[np.ndarray, " length"]:
    """Tokenize a text: start, words, end, then zeros.

    A text that is too long is cut. The original cuts off the end token as well, so that
    the encoder reads its result at the start token and every long text embeds alike;
    ``keep_end=False`` repeats that. Names of special tokens are plain text here.

    Args:
        text: any text.
        length: number of ids, at least 2.
        keep_end: let the end token take the last place of a text that is too long.

    Raises:
        ValueError: if ``length`` is below 2.
    """
    if length < 2:
        raise ValueError(f"length must be at least 2, got {length}")
    ids = [START, *_bpe().encode(clean(text)).ids, END][:length]
    if keep_end and len(ids) == length:
        ids[-1] = END
    return np.array(ids + [0] * (length - len(ids)), np.int32)
