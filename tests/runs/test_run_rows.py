"""Shards partition the rows; resuming compares them; nothing is read ahead."""

import dataclasses
import itertools

import pytest
from test_run_records import record

from avits_jax.media import Prompt, picture_mark
from avits_jax.runs import Shard, parse_shard, resume, shard_prompts


def rows(path, **options):
    return [prompt.index for prompt in shard_prompts(path, **options)]


def test_shards_share_the_rows(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join("abcdefg"))
    parts = [rows(path, shard=Shard(i, 3)) for i in (1, 2, 3)]
    assert parts == [[0, 3, 6], [1, 4], [2, 5]]
    assert rows(path, shard=Shard(2, 3), limit=4) == [1]
    assert rows(path) == list(range(7))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_bad_shards(text):
    with pytest.raises(ValueError, match="shard must be I/N with I from 1 to N"):
        parse_shard(text)


def prompts(*texts):
    return iter([Prompt(index, text) for index, text in enumerate(texts)])


def records(*texts):
    return [record([[0, 0]], row=i, prompt=t) for i, t in enumerate(texts)]


def test_resuming_passes_over_what_is_done():
    left = resume(prompts("a", "b", "c"), records("a", "b"), "p.txt")
    assert [prompt.text for prompt in left.prompts] == ["c"]
    assert left.counts == {"done": 2} and left.state == records("b")[0].state
    fresh = resume(prompts("a"), [], "p.txt")
    assert fresh.state is None and fresh.counts.total() == 0


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("a", "x", "c"), "row 1 is 'x' there, the run did row 1, 'b'"),
        (("a",), "p.txt ends before row 1, which the run has done"),
    ],
)
def test_another_prompts_file_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        resume(prompts(*texts), records("a", "b"), "p.txt")


def test_a_picture_that_was_changed_is_refused(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    rows = [Prompt(0, "a", picture), Prompt(1, "b")]
    done = [dataclasses.replace(records("a")[0], image=picture_mark(picture))]
    assert [each.text for each in resume(iter(rows), done, "p.csv").prompts] == ["b"]
    for now in (rows[1:], [Prompt(0, "a")]):
        with pytest.raises(ValueError, match="p.csv is not the prompts file"):
            resume(iter(now), done, "p.csv")
    picture.write_bytes(b"two")
    with pytest.raises(ValueError, match="the picture of row 0 is a.png .* now"):
        resume(iter(rows), done, "p.csv")


def test_many_rows_are_streamed(tmp_path):
    path = tmp_path / "prompts.txt"
    line = b"a red circle bounces three times with a bell\n"
    path.write_bytes(line * 50_000 + b"\xff\n")
    stream = shard_prompts(path, shard=Shard(2, 4))
    # The last row is not UTF-8: whoever reads ahead stumbles over it.
    first = list(itertools.islice(stream, 1000))
    assert [prompt.index for prompt in first[:3]] == [1, 5, 9]
    with pytest.raises(ValueError, match="not UTF-8"):
        for _ in stream:
            pass
