"""Tokenizer files that would take memory or time, or end the process."""

import copy
import json

import mutating
import pytest
from tokenizer_files import PIECES, sentencepiece_model, unigram_tokenizer, write_pair

from avits_jax.text import tokenizers

GOOD = json.loads(unigram_tokenizer().to_str())
LONG = "a" * 1000


def replace(text, pattern):
    return {"type": "Replace", "pattern": pattern, "content": text}


def normalizers(*steps):
    return {"normalizer": {"type": "Sequence", "normalizers": list(steps)}}


def split(expression):
    step = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated"}
    return {"pre_tokenizer": step | {"invert": False}}


def template(**change):
    return {"post_processor": GOOD["post_processor"] | change}


def model(**change):
    return {"model": GOOD["model"] | change}


HOSTILE = {
    "grows": (normalizers(*[replace(LONG, {"String": "a"})] * 4), "times as long"),
    "grows slowly": (normalizers(*[replace("aa", {"String": "a"})] * 11), "2048 times"),
    "many steps": (normalizers(*[{"type": "NFC"}] * 17), "has 17 steps"),
    "of nothing": (normalizers(replace("a", {"String": ""})), "regular expression"),
    "backtracks": (split("((a+)+)+$"), "regular expression that no published"),
    "expression": (normalizers(replace("a", {"Regex": "(a|aa)+$"})), "expression that"),
    "unknown step": (normalizers({"type": "Prepend", "prepend": LONG}), "'Prepend'"),
    "no step": (normalizers(5), "a list of an object"),
    "deep steps": (
        {"normalizer": {"type": "Sequence", "normalizers": [GOOD["pre_tokenizer"]]}},
        "'Sequence', which no published",
    ),
    "repeats the text": (template(single=GOOD["post_processor"]["single"] * 9), "once"),
    "many ids": (
        template(special_tokens={"</s>": {"id": "</s>", "ids": [1] * 99}}),
        "many ids",
    ),
    "character map": (
        normalizers({"type": "Precompiled", "precompiled_charsmap": "////"}),
        "character map is damaged",
    ),
    "no unknown": (model(unk_id=None), "'unk_id'"),
    "far unknown": (model(unk_id=10), "whole number from 0 to 9"),
    "empty piece": (model(vocab=[["", 0.0], *GOOD["model"]["vocab"]]), "no text"),
    "no probability": (model(vocab=[["a", True]]), "no finite probability"),
    "another model": (model(type="WordLevel"), "is 'WordLevel', no BPE or Unigram"),
    "random": ({"model": {"type": "BPE", "dropout": 0.5}}, "at random"),
    "no vocabulary": ({"model": {"type": "BPE", "vocab": {}}}, "or empty"),
    "huge id": ({"model": {"type": "BPE", "vocab": {"a": 2**31}}}, "an id of a word"),
    "one id twice": ({"model": {"type": "BPE", "vocab": {"a": 1, "b": 1}}}, "one id"),
    "huge added id": ({"added_tokens": [{"content": "a", "id": 2**40}]}, "'id'"),
    "empty added token": ({"added_tokens": [{"content": "", "id": 3}]}, "without text"),
    "no object": ({"model": []}, "'model'"),
}


def refusal(folder, kind="t5"):
    with pytest.raises(ValueError) as caught:
        tokenizers.load(folder, kind)
    text = str(caught.value)
    assert "\n" not in text and f"cannot be read as a {kind} tokenizer" in text
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tokenizers_are_refused(tmp_path, name):
    change, message = HOSTILE[name]
    (tmp_path / "tokenizer.json").write_text(json.dumps(GOOD | change))
    assert message in refusal(tmp_path)


@pytest.mark.parametrize("text", ["[" * 99_999, '{"model": {}, "model": {}}', "[]"])
def test_json_that_no_tokenizer_is(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    refusal(tmp_path)


def test_files_of_old_have_no_type_of_model(tmp_path):
    content = copy.deepcopy(GOOD)
    del content["model"]["type"], content["model"]["byte_fallback"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert tokenizers.load(tmp_path, "t5")("a dog") == [3, 4, 6, 1]


def test_numbers_and_pieces_of_sentencepiece_models(tmp_path):
    file = tmp_path / "spiece.model"
    file.write_bytes(b"\x08" + b"\xff" * 3_000_000 + b"\x01")
    assert "is not a SentencePiece model" in refusal(tmp_path)
    file.write_bytes(sentencepiece_model((*PIECES, ("", 0.0))))
    assert "a piece has no text" in refusal(tmp_path)
    file.write_bytes(sentencepiece_model((*PIECES, ("x", float("nan")))))
    assert "no finite probability" in refusal(tmp_path)


@pytest.mark.parametrize("words", ["[]", "[" * 99_999, '{"a": -1}', '{"a": 1e999}'])
def test_hostile_vocabularies(tmp_path, words):
    write_pair(tmp_path, ("a", "b"))
    (tmp_path / "vocab.json").write_text(words)
    refusal(tmp_path, "roberta")


def test_what_the_library_cannot_tokenize_is_an_error_of_one_line(
    tmp_path, monkeypatch
):
    """Its panics are no Exception."""
    from tokenizers import Tokenizer

    class PanicException(BaseException):
        pass

    class Panics:
        def encode(self, text):
            raise PanicException("index out of\nbounds")

        no_padding = no_truncation = lambda self: None

    (tmp_path / "tokenizer.json").write_text(json.dumps(GOOD))
    monkeypatch.setattr(Tokenizer, "from_str", lambda text: Panics())
    tokenize = tokenizers.load(tmp_path, "t5")
    with pytest.raises(ValueError, match="cannot tokenize 'a dog': index out of bound"):
        tokenize("a dog")


def fuzz(folder, name, content, count):
    read = 0
    for mutant in mutating.mutants(content, count, 41):
        (folder / name).write_bytes(mutant)
        try:
            ids = tokenizers.load(folder, "t5")("a dog Yes x ▁ " + "a" * 50)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        assert len(ids) < 500
        read += 1
    assert read


FUZZED = {
    "tokenizer.json": json.dumps(GOOD).encode(),
    "spiece.model": sentencepiece_model(),
}


@pytest.mark.parametrize("name", FUZZED)
def test_broken_tokenizers_end_in_one_line(tmp_path, name):
    fuzz(tmp_path, name, FUZZED[name], 150)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZED)
def test_many_broken_tokenizers_end_in_one_line(tmp_path, name):
    fuzz(tmp_path, name, FUZZED[name], 2000)
