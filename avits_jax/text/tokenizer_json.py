"""Check a tokenizer.json before the tokenizers library runs it (host only).

Such a file is a program: it can replace a letter by a thousand, again and again, or
match words with expressions that take for ever. Only the steps of which the published
tokenizers of T5, RoBERTa, Qwen2 and Gemma-3 consist are accepted, and only as far as a
text of n letters takes time and memory of the order of n.
"""

import base64
import math
from collections.abc import Iterator, Mapping
from typing import Any

from avits_jax.files.json_values import OBJECT, TEXT, check_fields, list_of, whole

# Expressions of Qwen2's tokenizer, and of those that are made of SentencePiece models.
_EXPRESSIONS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+"
    r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    " {2,}",
)
_STEPS = {
    "normalizer": {"Precompiled", "NFC", "NFKC", "Strip", "Lowercase", "Replace"},
    "pre_tokenizer": {"WhitespaceSplit", "Metaspace", "ByteLevel", "Split"},
    "post_processor": {"TemplateProcessing", "RobertaProcessing", "ByteLevel"},
    "decoder": {"Metaspace", "ByteLevel", "Sequence"},  # it is never run
}
_LISTS = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
}
_MOST_STEPS = 16
_MOST_GROWTH = 1024
_NFKC_GROWTH = 18
_ID = whole(0, 2**20)


def check_tokenizer(content: Any) -> None:
    """Refuse a tokenizer whose steps are unknown, or may take for ever.

    Args:
        content: of tokenizer.json.

    Raises:
        ValueError: it holds something that no published tokenizer has.
    """
    check_fields(content, {"model": OBJECT, "added_tokens": list_of(OBJECT)}, "it: ")
    for token in content["added_tokens"]:
        check_fields(token, {"content": TEXT, "id": _ID}, "added_tokens: ")
        _require(token["content"], "it adds a token without text")
    growth = 1
    for name in _STEPS:
        for step in _steps(content.get(name), name):
            if name == "normalizer":
                growth *= _growth(step)
            elif step["type"] == "Split":
                _pattern(step)
            elif step["type"] == "TemplateProcessing":
                _check_template(step)
    _require(
        growth <= _MOST_GROWTH, f"its normalizer makes a text {growth} times as long"
    )
    _check_model(content["model"])


def check_pieces(pieces: list[Any]) -> None:
    """Refuse pieces of a unigram vocabulary that are none.

    Args:
        pieces: each a text and its log-probability.

    Raises:
        ValueError: one is empty, or its number is not finite.
    """
    for piece in pieces:
        pair = isinstance(piece, list | tuple) and len(piece) == 2
        _require(pair and isinstance(piece[0], str) and piece[0], "a piece has no text")
        number = type(piece[1]) in (int, float) and abs(piece[1]) < 1e9
        _require(number, f"piece {piece[0][:20]!r} has no finite probability")


def check_characters(packed: bytes) -> int:
    """Return how many letters a character map makes of one, at most.

    Args:
        packed: of a SentencePiece model: size of an index, the index, texts.

    Raises:
        ValueError: it is damaged, or makes too many.
    """
    start = 4 + int.from_bytes(packed[:4], "little")
    whole_index = start % 4 == 0 and 4 < start <= len(packed)
    _require(whole_index, "its character map is damaged")
    longest = max(map(len, packed[start:].split(b"\0")))
    _require(longest <= _MOST_GROWTH, "its character map makes a text of a letter")
    return max(longest, 1)


def check_vocabulary(vocabulary: Any) -> None:
    """Refuse a vocabulary that is not one of words with ids of their own.

    Args:
        vocabulary: id of each word.

    Raises:
        ValueError: it is none.
    """
    known = isinstance(vocabulary, Mapping) and vocabulary
    _require(known, "its vocabulary is no object, or empty")
    ids = vocabulary.values()
    _require(all(map(_ID.accepts, ids)), f"an id of a word is not {_ID.words}")
    _require(len(set(ids)) == len(ids), "two words have one id")


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _steps(step: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield the steps that one of the tokenizer's parts consists of."""
    if step is None:
        return
    check_fields({name: step}, {name: OBJECT})
    inner = _LISTS.get(name)
    steps = [step]
    if step.get("type") == "Sequence" and inner:
        check_fields(step, {inner: list_of(OBJECT)}, f"{name}: ")
        steps = step[inner]
    _require(len(steps) <= _MOST_STEPS, f"its {name} has {len(steps)} steps")
    for each in steps:
        kind = str(each.get("type"))
        _require(
            kind in _STEPS[name],
            f"its {name} has a step {kind[:40]!r}, which no published tokenizer has",
        )
        yield each


def _pattern(step: dict[str, Any]) -> str:
    """Return what a step looks for; "" where that is one of the known expressions."""
    check_fields(step, {"pattern": OBJECT}, f"{step['type']}: ")
    pattern = step["pattern"]
    text = pattern.get("String")
    if len(pattern) == 1 and isinstance(text, str) and text:
        return text
    known = len(pattern) == 1 and pattern.get("Regex") in _EXPRESSIONS
    _require(known, "it has a regular expression that no published tokenizer has")
    return ""


def _growth(step: dict[str, Any]) -> int:
    """Return how many letters a step of the normalizer makes of one, at most."""
    if step["type"] == "NFKC":
        return _NFKC_GROWTH
    if step["type"] == "Replace":
        check_fields(step, {"content": TEXT}, "Replace: ")
        shortest = len(_pattern(step)) or 1
        return max(1, math.ceil(len(step["content"]) / shortest))
    if step["type"] == "Precompiled":
        check_fields(step, {"precompiled_charsmap": TEXT}, "Precompiled: ")
        return check_characters(base64.b64decode(step["precompiled_charsmap"]))
    return 1


def _check_template(step: dict[str, Any]) -> None:
    """Refuse a template that repeats the text, or puts many tokens around it."""
    check_fields(step, {"single": list_of(OBJECT), "special_tokens": OBJECT})
    texts = [each for each in step["single"] if "Sequence" in each]
    short = len(step["single"]) <= _MOST_STEPS and len(texts) == 1
    _require(short, "its template does not hold the text once, and few tokens")
    for token in step["special_tokens"].values():
        check_fields(token, {"ids": list_of(_ID)}, "special_tokens: ")
        _require(len(token["ids"]) <= _MOST_STEPS, "a special token has many ids")


def _check_model(model: dict[str, Any]) -> None:
    # Files of old name no type.
    kind = model.get("type", "BPE" if "merges" in model else "Unigram")
    _require(
        kind in ("BPE", "Unigram"), f"its model is {kind!r:.40}, no BPE or Unigram"
    )
    if kind == "BPE":
        _require(not model.get("dropout"), "it leaves out merges at random")
        return check_vocabulary(model.get("vocab"))
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, list):
        raise ValueError("its vocabulary is no list of pieces")
    check_pieces(vocabulary)
    known = {"unk_id": whole(0, len(vocabulary) - 1)}
    check_fields(model, known, "model: ")
