"""Prompt files as .txt, .csv and .jsonl, and what is said of bad ones."""

import itertools
import json

import pytest

from avits_jax.media import Prompt, count_prompts, read_prompts

JAVIS_HEAD = "path,id,num_frames,fps,video_text,audio_text,text,cat0_ind,cat0_title\n"
JAVIS_ROWS = (
    "clips/a.mp4,a_scene-1,161,24.0,A dog runs.,Barking.,"
    '"A dog runs over a lawn, barking.\n\nThe barks are ""sharp"" and near.",2,"Air"\n'
    'clips/b.mp4,b_scene-4,97,25.0,Rain.,Drops.,Rain on a tin roof – steady.,"0,1",Ä\n'
)


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def test_csv_with_quoted_newlines(tmp_path):
    path = write(tmp_path, "p.csv", JAVIS_HEAD + JAVIS_ROWS)
    assert list(read_prompts(path)) == [
        Prompt(
            0, 'A dog runs over a lawn, barking.\n\nThe barks are "sharp" and near.'
        ),
        Prompt(1, "Rain on a tin roof – steady."),
    ]
    assert next(read_prompts(path, column="audio_text")).text == "Barking."
    assert count_prompts(path) == 2
    assert len(list(read_prompts(path, limit=1))) == 1


def test_text_and_byte_order_mark(tmp_path):
    path = write(tmp_path, "p.txt", b"\xef\xbb\xbfa red circle \n\n  two\r\n")
    assert list(read_prompts(path)) == [Prompt(0, "a red circle"), Prompt(1, "two")]


def test_jsonl(tmp_path):
    rows = [{"text": "über"}, {"other": 1}, {"text": "end"}]
    path = write(tmp_path, "p.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    assert [p.text for p in read_prompts(path)] == ["über", "", "end"]


def test_rows_without_text_keep_their_numbers(tmp_path):
    path = write(tmp_path, "p.csv", "text,n\none,1\n,2\nthree,3\n")
    assert list(read_prompts(path)) == [
        Prompt(0, "one"),
        Prompt(1, ""),
        Prompt(2, "three"),
    ]


FORMS = {
    "p.csv": "text,image\none, a/1.png \ntwo,\n",
    "p.tsv": "image\ttext\na/1.png\tone\n\ttwo\n",
    "p.jsonl": '{"text": "one", "image": "a/1.png"}\n{"text": "two"}\n',
    "q.jsonl": '{"text": "two"}\n{"text": "one", "image": "a/1.png"}\n',
    "p.json": '[{"text": "one", "image": "a/1.png"}, {"text": "two", "image": null}]',
    "q.json": '{"text": ["one", "two"], "image": ["a/1.png", null]}',
}


@pytest.mark.parametrize("name", FORMS)
def test_pictures_of_rows_lie_beside_the_file(tmp_path, name):
    path = write(tmp_path, name, FORMS[name])
    found = {row.text: row.image for row in read_prompts(path, image_column="image")}
    assert found == {"one": tmp_path / "a/1.png", "two": None}
    unread = list(read_prompts(path)) + list(read_prompts(path, image_column="none"))
    assert [row.image for row in unread] == [None] * 4


def test_pictures_of_other_machines_are_refused(tmp_path):
    path = write(tmp_path, "p.csv", "text,image\none,gs://a/b.png\n")
    with pytest.raises(ValueError, match="row 0 from 0: a picture must be on this"):
        read_prompts(path, image_column="image")
    path = write(tmp_path, "p.txt", "one\n")
    assert next(read_prompts(path, image_column="image")).image is None


def test_streams(tmp_path):
    """Rows are read as they are asked for: a bad one far down does not matter yet."""
    path = write(tmp_path, "p.txt", b"good\n" * 200_000 + b"\xff\n")
    rows = read_prompts(path)
    assert len(list(itertools.islice(rows, 1000))) == 1000
    with pytest.raises(ValueError, match="not UTF-8"):
        count_prompts(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.txt", "", "is empty"),
        ("p.txt", "\n \n", "is empty"),
        ("p.csv", "", "is empty"),
        ("p.csv", "text,id\n", "is empty"),
        ("p.csv", "prompt,id\na,1\n", "no column 'text'; it has: prompt, id"),
        ("p.csv", 'text\n"never closed\n', "malformed CSV"),
        (
            "p.jsonl",
            '{"prompt": "a", "id": 1}\n',
            "no column 'text'; it has: prompt, id",
        ),
        ("p.jsonl", "plain\n", "line 1: not JSON"),
        ("p.jsonl", '"plain"\n', "line 1: expected one JSON object"),
        ("p.jsonl", '{"text": 3}\n', "line 1: 'text' is not a string"),
        ("p.txt", b"caf\xe9\n", "not UTF-8"),
        ("p.csv", b"text\ncaf\xe9\n", "not UTF-8"),
        ("p.xlsx", "x", "use .txt, .csv, .tsv, .jsonl, .json, .parquet"),
    ],
)
def test_bad_files(tmp_path, name, data, message):
    path = write(tmp_path, name, data)
    with pytest.raises(ValueError, match=message) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_folder_and_limit(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_prompts(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        read_prompts(tmp_path / "folder.csv")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        read_prompts(write(tmp_path, "p.txt", "a\n"), limit=0)
