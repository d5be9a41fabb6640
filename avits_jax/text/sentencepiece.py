"""Read a unigram vocabulary from a SentencePiece model, without its library.

T5's checkpoints often bring no other tokenizer file. It is one protocol-buffer message
(sentencepiece_model.proto of google/sentencepiece), which transformers knows.
"""


def read_unigram(data: bytes) -> tuple[list[tuple[str, float]], bytes | None]:
    """Return the pieces with their log-probabilities, and the character map.

    Args:
        data: content of ``spiece.model``.

    Raises:
        ValueError: it is not a SentencePiece model of the unigram kind.
    """
    from google.protobuf.message import DecodeError
    from transformers.convert_slow_tokenizer import import_protobuf

    try:
        model = import_protobuf().ModelProto.FromString(data)
    except DecodeError:
        raise ValueError("it is not a SentencePiece model") from None
    kind = model.trainer_spec.model_type
    if kind != model.trainer_spec.UNIGRAM:
        raise ValueError(f"its model type is {kind}, not unigram")
    if not model.pieces:
        raise ValueError("it holds no pieces")
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    return pieces, model.normalizer_spec.precompiled_charsmap or None
