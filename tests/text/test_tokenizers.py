"""Tokenizers from published files, and dummy ones."""

import pytest
from tokenizer_files import (
    ASCII,
    FIRST_BYTE,
    WORDS,
    byte_fallback_tokenizer,
    sentencepiece_model,
    unigram_tokenizer,
    write_pair,
    write_whole,
)

from avits_jax.text import tokenizers

SPECIAL = tokenizers.QWEN2_SPECIAL
REWARDS = SPECIAL[-3:]
QWEN_WORDS = (*ASCII, "do", "dog")
QWEN_MERGES = (("d", "o"), ("do", "g"))


def test_qwen2_knows_the_special_tokens(tmp_path):
    tokenize = tokenizers.load(write_pair(tmp_path, QWEN_WORDS, QWEN_MERGES), "qwen2")
    first = len(QWEN_WORDS)
    assert tokenize("dog do") == [97, ASCII.index("Ġ"), 96]
    ids = list(range(first, first + len(SPECIAL)))
    assert tokenize("".join(SPECIAL)) == ids
    assert tokenize("x<|TA_reward|>\n") == [ASCII.index("x"), ids[-1], 0]


@pytest.mark.parametrize("added", [SPECIAL[:-3], SPECIAL, SPECIAL[:3]])
def test_missing_special_tokens_come_after_those_that_are_there(tmp_path, added):
    folder = write_pair(tmp_path / "tokenizer", QWEN_WORDS, QWEN_MERGES, added)
    tokenize = tokenizers.load(tmp_path, "qwen2")
    last = len(QWEN_WORDS) + len(SPECIAL)
    assert tokenize("".join(REWARDS)) == [last - 3, last - 2, last - 1]
    assert (folder / "added_tokens.json").is_file()


def test_qwen2_reads_the_whole_file_alike(tmp_path):
    from transformers import Qwen2Tokenizer

    vocab = {word: number for number, word in enumerate(QWEN_WORDS)}
    plain = Qwen2Tokenizer(vocab=vocab, merges=list(QWEN_MERGES)).backend_tokenizer
    plain.enable_padding(length=40)
    plain.enable_truncation(3)
    write_whole(tmp_path / "whole", plain)
    write_pair(tmp_path / "pair", QWEN_WORDS, QWEN_MERGES)
    text = "a dog <|VQ_reward|>\n\n1234<|im_end|>"
    whole, pair = (tokenizers.load(tmp_path / n, "qwen2") for n in ("whole", "pair"))
    assert whole(text) == pair(text)


def test_roberta_puts_its_marks_around_a_text(tmp_path):
    words = ("<s>", "<pad>", "</s>", "<unk>", *QWEN_WORDS, "<mask>")
    folder = write_pair(tmp_path, words, QWEN_MERGES)
    tokenize = tokenizers.load(folder, "roberta")
    assert tokenize("dog do") == [0, 101, words.index("Ġ"), 100, 2]
    assert tokenize("") == [0, 2]


@pytest.mark.parametrize("file", ["tokenizer.json", "spiece.model"])
def test_t5_ends_a_text(tmp_path, file):
    if file == "spiece.model":
        (tmp_path / file).write_bytes(sentencepiece_model())
    else:
        write_whole(tmp_path, unigram_tokenizer())
    tokenize = tokenizers.load(tmp_path, "t5")
    assert tokenize("a dog") == [3, 4, 6, 1]
    assert tokenize("a  qdo") == [3, 4, 2, 5, 1]
    assert tokenize("") == [1]


@pytest.mark.parametrize("starts", [False, True])
def test_gemma3_starts_a_text_and_spells_what_it_does_not_know(tmp_path, starts):
    write_whole(tmp_path, byte_fallback_tokenizer(starts=starts))
    tokenize = tokenizers.load(tmp_path, "gemma3")
    # "▁dog" is one merge after another; a letter that is no word is its bytes.
    assert tokenize("a dog") == [2, WORDS.index("a"), WORDS.index("▁dog")]
    snow = [FIRST_BYTE + byte for byte in "☃".encode()]
    assert tokenize("☃ a") == [2, *snow, WORDS.index("▁"), WORDS.index("a")]
    assert tokenize("  a") == [2, *[WORDS.index("▁")] * 2, WORDS.index("a")]
    assert tokenize("") == [2]
    assert tokenize("dog<eos>")[-1] == 1


def test_a_gemma3_without_a_start_token_is_refused(tmp_path):
    write_whole(tmp_path, unigram_tokenizer())
    with pytest.raises(ValueError, match="cannot be read as a gemma3.*no token <bos>"):
        tokenizers.load(tmp_path, "gemma3")


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("t5", "tokenizer.json, or spiece.model"),
        ("qwen2", "tokenizer.json, or vocab.json and merges.txt"),
        ("roberta", "tokenizer.json, or vocab.json and merges.txt"),
        ("gemma3", "tokenizer.json"),
    ],
)
def test_missing_files_are_listed(tmp_path, kind, wanted):
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ValueError, match=f"lacks the files of a {kind}.*{wanted}"):
        tokenizers.load(tmp_path, kind)


@pytest.mark.parametrize("file", ["tokenizer.json", "spiece.model"])
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\x0a\xff", b"\xff" * 9, sentencepiece_model(kind=2)]
)
def test_damaged_files_are_named(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"{file} in .* cannot be read as a t5"):
        tokenizers.load(tmp_path, "t5")


def test_cut_sentencepiece_files_are_refused(tmp_path):
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model()[:-3])
    with pytest.raises(ValueError, match=r"spiece.model in .* cannot be read"):
        tokenizers.load(tmp_path, "t5")


def test_unknown_kinds_are_refused(tmp_path):
    for make in (tokenizers.load, tokenizers.dummy):
        with pytest.raises(ValueError, match="kind must be one of .*'gpt'"):
            make(tmp_path, "gpt") if make is tokenizers.load else make("gpt", 100)


@pytest.mark.parametrize(
    ("kind", "start", "end", "words"),
    [
        ("t5", [], [1], range(3, 40)),
        ("roberta", [0], [2], range(4, 39)),
        ("qwen2", [], [], range(0, 23)),
        ("gemma3", [2], [], range(5, 40)),
    ],
)
def test_dummies_give_ids_of_words(kind, start, end, words):
    tokenize = tokenizers.dummy(kind, 40)
    ids = tokenize("A dog barks, twice — at 3 o'clock.")
    assert ids[: len(start)] == start and ids[len(ids) - len(end) :] == end
    inner = ids[len(start) : len(ids) - len(end)]
    assert 8 < len(inner) < 25 and set(inner) <= set(words)
    again = tokenizers.dummy(kind, 40)("A dog")
    assert again[: len(again) - len(end)] == ids[: len(again) - len(end)]
    assert tokenize("a red dog") != tokenize("a blue dog")


def test_a_dummy_has_the_published_ids_of_special_tokens():
    tokenize = tokenizers.dummy("qwen2", 151_660)
    assert tokenize("".join(SPECIAL)) == list(range(151_643, 151_660))
    small = tokenizers.dummy("qwen2", 18)
    assert small("a<|TA_reward|>") == [0, 17]


@pytest.mark.parametrize(
    ("kind", "least"), [("t5", 4), ("roberta", 6), ("qwen2", 18), ("gemma3", 6)]
)
def test_dummies_need_room_for_a_word(kind, least):
    assert tokenizers.dummy(kind, least)("dog")
    with pytest.raises(ValueError, match=f"at least {least}, got {least - 1}"):
        tokenizers.dummy(kind, least - 1)
