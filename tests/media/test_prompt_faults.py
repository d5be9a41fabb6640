"""Prompt tables that lose or mix up rows: refused by the line, before any work."""

import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avits_jax.media import read_prompts


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.csv", "id,text\n0,a bell, twice\n", "line 2: 3 fields, the header has 2"),
        ("p.csv", "id,text\n0,a\n1,b\n2,c,d,e\n", "line 4: 4 fields, the header has 2"),
        ("p.csv", 'id,text\n0,"a\nb"\n1,c,d\n', "line 4: 3 fields"),
        ("p.csv", 'text\n"a "dog" barks"\nb\n', "line 2: malformed CSV"),
        ("p.csv", 'text\nfine\n"never closed\nb\nc\n', "line 3: malformed CSV"),
        ("p.csv", "text,text\na,b\n", "has 2 columns 'text'"),
        ("p.csv", b"text,x\na,b\nc,\xe9\n", "not UTF-8: line 3"),
        ("p.txt", b"a\nb\n\nc\xff\n", "not UTF-8: line 4"),
        ("p.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "not UTF-8: line 2"),
        ("p.jsonl", '{"text": "a", "text": "b"}\n', "line 1: .*'text' stands twice"),
        ("p.jsonl", "[" * 100_000 + "\n", "line 1: not JSON: it is nested too deeply"),
        ("p.jsonl", '{"text": "a"}\n{"n": 1' + "1" * 5000 + "}\n", "line 2: not JSON"),
    ],
)
def test_the_line_is_named(tmp_path, name, data, message):
    path = write(tmp_path, name, data)
    with pytest.raises(ValueError, match=message) as caught:
        list(read_prompts(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_loses_nothing_is_read(tmp_path):
    path = write(tmp_path, "p.csv", "\n\ntext,id,id,,\n\na,1,2,,\nb\n,3\n")
    assert [prompt.text for prompt in read_prompts(path)] == ["a", "b", ""]
    path = write(tmp_path, "p.jsonl", '{"text": "\\ud800", "x": NaN}\n')
    assert [prompt.text for prompt in read_prompts(path)] == ["\ud800"]


def parquet():
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a bell", "\u00e4 drum", None]}), file)
    return file.getvalue()


SEEDS = {
    "p.csv": b'id,text\r\n0,"a bell, twice"\r\n1,"two\nlines ""x"""\r\n2,\xc3\xa4\r\n',
    "p.jsonl": b"\n".join(
        json.dumps({"id": i, "text": text, "more": [1.5, None, {"a": {}}]}).encode()
        for i, text in enumerate(["a bell", "\u00e4\ud800", ""])
    ),
    "p.tsv": b'id\ttext\r\n0\t"a bell,\ttwice"\r\n1\t"two\nlines"\r\n2\t\xc3\xa4\r\n',
    "p.json": json.dumps(
        {"rows": [{"row": {"text": text}} for text in ("a bell", "\u00e4", "")]},
        indent=1,
    ).encode(),
    "columns.json": b'{"text": ["a bell", "", null], "id": [0, 1, 2]}',
    "lines.json": b'{"text": "a bell"}\n{"text": "", "id": 1}\n\n{"id": [{}]}\n',
    "p.parquet": parquet(),
    "p.txt": b"\xef\xbb\xbfa bell\n\n two \r\nthree\rfour\x85\x00\n",
}
SPICE = [b'"', b",", b"\n", b"\r", b"\x00", b"\xff", b"\xed\xa0\x80", b"{", b"[", b"}"]
SPICE += [
    b"\\ud800",
    b"1e999",
    b"9" * 5000,
    b"[" * 2000,
    b"text",
    b"NaN",
    b"\xe2\x80\xa8",
]


def mutant(seed, chance):
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            data[place:place] = chance.choice(SPICE)
        elif kind == 1:
            del data[place : place + chance.randint(1, 9)]
        elif kind == 2 and place < len(data):
            data[place] = chance.randrange(256)
        else:
            data[place:place] = data[chance.randrange(len(data) + 1) :][:40]
    return bytes(data)


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize(
    "count", [150, pytest.param(2000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_mutants_are_read_or_refused_in_one_line(tmp_path, name, count):
    chance, read = random.Random(0), 0
    for _ in range(count):
        path = write(tmp_path, name, mutant(SEEDS[name], chance))
        try:
            prompts = list(read_prompts(path))
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            continue
        read += 1
        assert [prompt.index for prompt in prompts] == list(range(len(prompts)))
        assert all(isinstance(prompt.text, str) for prompt in prompts)
    assert 0 < read <= count
