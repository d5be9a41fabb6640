"""Read a unigram vocabulary from a SentencePiece model, without its library.

T5's checkpoints often bring no other tokenizer file. The file is one protocol-buffer
message (google/sentencepiece, src/sentencepiece_model.proto): field 1, repeated, holds
the pieces (text 1, score 2), field 2 the trainer's settings (model type 3), field 3 the
normaliser's (compiled character map 2).
"""

import struct
from collections.abc import Iterator
from typing import Any

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_UNIGRAM = 1


def read_unigram(data: bytes) -> tuple[list[tuple[str, float]], bytes | None]:
    """Return the pieces with their log-probabilities, and the character map.

    Args:
        data: content of ``spiece.model``.

    Raises:
        ValueError: it is not a SentencePiece model of the unigram kind.
    """
    pieces: list[tuple[str, float]] = []
    character_map = None
    try:
        for field, value in _fields(data):
            if field == _PIECES:
                pieces.append(_piece(value))
            elif field == _TRAINER:
                kind = dict(_fields(value)).get(3, _UNIGRAM)
                if kind != _UNIGRAM:
                    raise ValueError(f"its model type is {kind}, not unigram")
            elif field == _NORMALIZER:
                character_map = dict(_fields(value)).get(2) or None
    except (IndexError, TypeError, struct.error, UnicodeDecodeError):
        raise ValueError("it is not a SentencePiece model") from None
    if not pieces:
        raise ValueError("it holds no pieces")
    return pieces, character_map


def _piece(data: bytes) -> tuple[str, float]:
    found = dict(_fields(data))
    return found[1].decode("utf-8"), struct.unpack("<f", found.get(2, bytes(4)))[0]


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield a message's fields: number, and bytes or (a varint) a whole number."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}[wire]
        if at + length > len(data):
            raise IndexError("the message ends early")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number in groups of seven bits, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
