"""Small vocabularies in the files that published tokenizers come in."""

import json
import struct
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, processors
from tokenizers.pre_tokenizers import Metaspace, Sequence, Split, WhitespaceSplit
from transformers.convert_slow_tokenizer import bytes_to_unicode

ASCII = tuple(bytes_to_unicode()[byte] for byte in (10, *range(32, 127)))
"""Tokens of a byte-level vocabulary that spells plain text."""

PIECES = (
    ("<pad>", 0.0),
    ("</s>", 0.0),
    ("<unk>", 0.0),
    ("▁a", -2.0),
    ("▁", -3.0),
    ("do", -3.5),
    ("dog", -4.0),
    ("g", -5.0),
    ("Yes", -5.0),
    ("▁Yes", -5.0),
)


WORDS = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *"▁adgo", "▁d", "▁do", "▁dog")
FIRST_BYTE = len(WORDS)
"""Id of byte 0 behind Gemma-like words."""


def write_pair(folder: Path, words, merges=(), added=()) -> Path:
    """``vocab.json``, ``merges.txt`` and, if any, ``added_tokens.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    if added:
        ids = {name: len(vocab) + i for i, name in enumerate(added)}
        (folder / "added_tokens.json").write_text(json.dumps(ids))
    return folder


def unigram_tokenizer(pieces=PIECES) -> Tokenizer:
    """A T5-like tokenizer."""
    tokenizer = Tokenizer(models.Unigram(list(pieces), unk_id=2))
    tokenizer.pre_tokenizer = Sequence([WhitespaceSplit(), Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens([AddedToken("</s>", special=True)])
    return tokenizer


def byte_fallback_tokenizer(starts: bool = True) -> Tokenizer:
    """A Gemma-like tokenizer; ``starts`` lets the file itself put <bos> first."""
    words = (*WORDS, *(f"<0x{byte:02X}>" for byte in range(256)))
    model = models.BPE(
        vocab={word: number for number, word in enumerate(words)},
        merges=[("▁", "d"), ("▁d", "o"), ("▁do", "g")],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = Split(" ", "merged_with_previous")
    if starts:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 2)]
        )
    marks = [AddedToken(mark, special=True) for mark in WORDS[:5]]
    tokenizer.add_special_tokens(marks)
    return tokenizer


def write_whole(folder: Path, tokenizer: Tokenizer) -> Path:
    """``tokenizer.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def sentencepiece_model(pieces=PIECES, kind: int = 1) -> bytes:
    """Content of a ``spiece.model``; ``kind`` 1 is unigram, 2 byte pairs."""

    def block(field: int, content: bytes) -> bytes:
        return bytes([field << 3 | 2]) + varint(len(content)) + content

    def varint(value: int) -> bytes:
        low, rest = value & 127, value >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])

    def piece(text: str, score: float) -> bytes:
        number = b"\x15" + struct.pack("<f", score)
        return block(1, text.encode()) + number + b"\x18\x01"

    written = b"".join(block(1, piece(*each)) for each in pieces)
    # A vocabulary size of more than one byte beside the type, as real files have it.
    trainer = b"\x18" + varint(kind) + b"\x20" + varint(32_000)
    return written + block(2, trainer) + block(3, block(1, b"identity"))
