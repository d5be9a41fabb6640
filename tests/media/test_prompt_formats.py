"""Prompt tables of other tools: .tsv, .json as Hugging Face writes it, .parquet."""

import itertools
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avits_jax.media import count_prompts, read_prompts

TEXTS = ["a bell, twice", "", "über \u8d64\ttab"]
ROWS = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]


def texts(path, **options):
    prompts = list(read_prompts(path, **options))
    assert [prompt.index for prompt in prompts] == list(range(len(prompts)))
    return [prompt.text for prompt in prompts]


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def refused(path, message, **options):
    with pytest.raises(ValueError, match=message) as caught:
        list(read_prompts(path, **options))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


# What `datasets` and pandas write, and what the dataset viewer's server answers.
FORMS = {
    "lines": lines,
    "lines after a mark and blanks": lambda rows: "\ufeff\n\n" + lines(rows),
    "list": json.dumps,
    "list over lines": lambda rows: json.dumps(rows, indent=1),
    "columns": lambda rows: json.dumps({k: [r[k] for r in rows] for k in rows[0]}),
    "pandas columns": lambda rows: json.dumps(
        {k: {str(i): r[k] for i, r in enumerate(rows)} for k in rows[0]}
    ),
    "split": lambda rows: json.dumps(
        {"columns": [*rows[0]], "data": [[*row.values()] for row in rows]}
    ),
    "data": lambda rows: json.dumps({"schema": {"fields": []}, "data": rows}),
    "server": lambda rows: json.dumps(
        {
            "dataset": "some/prompts",
            "features": [{"feature_idx": 0, "name": "text"}],
            "rows": [
                {"row_idx": i, "row": row, "truncated_cells": []}
                for i, row in enumerate(rows)
            ],
            "num_rows_total": len(rows),
            "partial": False,
        },
        indent=2,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_json_in_the_forms_of_datasets(tmp_path, form):
    path = write(tmp_path, "p.json", FORMS[form](ROWS))
    assert texts(path) == TEXTS
    assert texts(path, limit=2) == TEXTS[:2] and count_prompts(path) == 3
    refused(path, "no column 'prompt'; it has: .*text", column="prompt")


@given(
    rows=st.lists(st.text().map(str.strip), min_size=1), form=st.sampled_from([*FORMS])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_form_holds_any_text(tmp_path, rows, form):
    rows = [{"text": text, "data": 1} for text in rows]
    path = write(tmp_path, "p.json", FORMS[form](rows))
    assert texts(path) == [row["text"] for row in rows]


def test_one_object_and_strings(tmp_path):
    assert texts(write(tmp_path, "p.json", '{"text": "one", "n": 1}')) == ["one"]
    assert texts(write(tmp_path, "p.json", '["one", "two"]')) == ["one", "two"]
    path = write(tmp_path, "p.json", '{"text": "a title", "data": [{"text": "one"}]}')
    assert texts(path) == ["one"]
    path = write(tmp_path, "p.json", '[{"row": {"a": 1}, "text": "one"}]')
    assert texts(path) == ["one"]


def test_rows_without_text_keep_their_numbers(tmp_path):
    rows = [{"text": "one"}, {"text": None}, {"other": 1}, {"text": "four"}]
    for form in (lines, json.dumps):
        path = write(tmp_path, "p.json", form(rows))
        assert texts(path) == ["one", "", "", "four"]


def test_lines_of_json_are_streamed(tmp_path):
    path = write(tmp_path, "p.json", '{"text": "good"}\n' * 5000 + "bad\n")
    assert len(list(itertools.islice(read_prompts(path), 1000))) == 1000
    refused(path, "line 5001: not JSON")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "is empty"),
        ("[]", "is empty"),
        ('{"rows": []}', "is empty"),
        ('{"text": []}', "is empty"),
        ("3", "expected JSON lines, a list of objects, columns as lists"),
        ('[{"text": "a"}, 3]', "row 1: expected an object"),
        ('[{"text": "a"}, {"text": 3}]', "row 1: 'text' is not a string"),
        ('{"text": ["a", ["b"]]}', "row 1: 'text' is not a string"),
        ('{"text": ["a", "b"], "id": [1]}', "'text' has 2 rows, 'id' has 1"),
        ('[\n{"text": "a"},\n{"text": "b"\n]', "line 4: not JSON"),
        ('[{"text": "a", "text": "b"}]', "not JSON: the key 'text' stands twice"),
        (b'[{"text":\n"caf\xe9"}]', "not UTF-8: line 2"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', "not UTF-8: line 2"),
        ('{"text": "a"}\n["b"]\n', "line 2: expected one JSON object a line"),
        ('{"columns": ["text"], "data": [["a"], ["b", 1]]}', "row 1: expected a list"),
        ('{"columns": ["text", "text"], "data": [["a", 1]]}', "stands twice in"),
        ("[" * 100_000, "not JSON: it is nested too deeply"),
        ("[1" + "1" * 5000 + "]", "not JSON"),
        (
            '{"rows": [{"row": {"text": "a do"}, "truncated_cells": ["text"]}]}',
            "row 0: 'text' was cut short by the server",
        ),
    ],
)
def test_json_that_is_refused(tmp_path, data, message):
    refused(write(tmp_path, "p.json", data), message)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["text", "rows", "data", "columns", "row", "truncated_cells"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(value=values)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_refused(tmp_path, value):
    path = write(tmp_path, "p.json", json.dumps(value))
    try:
        assert all(isinstance(text, str) for text in texts(path))
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)


def test_tabs(tmp_path):
    table = 'id\ttext\r\n0\t"a ""bell"",\ttwice"\r\n\r\n1\t a "drum", once\r\n2\r\n'
    path = write(tmp_path, "p.TSV", table)
    assert texts(path) == ['a "bell",\ttwice', 'a "drum", once', ""]
    refused(path, "no column 'x'; it has: id, text", column="x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("text,id\na\t1\n", "no column 'text'; it has: text,id"),
        ("text\tid\na\tb\tc\n", "line 2: 3 fields, .* that holds a tab needs quotes"),
        ('text\n"never closed\n', "line 2: malformed TSV"),
        ("text\ttext\na\tb\n", "has 2 columns 'text'"),
        (b"text\na\n\xff\n", "not UTF-8: line 3"),
        ("text\tid\n", "is empty"),
    ],
)
def test_tabs_that_are_refused(tmp_path, data, message):
    refused(write(tmp_path, "p.tsv", data), message)


def parquet(tmp_path, columns, **options):
    path = tmp_path / "p.parquet"
    table = pa.table(columns) if isinstance(columns, dict) else columns
    pq.write_table(table, path, **options)
    return path


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet(tmp_path, kind):
    column = pa.array([*TEXTS, None], pa.string()).cast(kind)
    path = parquet(tmp_path, {"id": [0, 1, 2, 3], "text": column, "a.text": column})
    assert texts(path) == [*TEXTS, ""] == texts(path, column="a.text")
    assert texts(path, limit=1) == TEXTS[:1] and count_prompts(path) == 4


def test_parquet_is_read_row_group_by_row_group(tmp_path):
    rows = [f"prompt {i}" for i in range(10_000)]
    path = parquet(tmp_path, {"text": rows}, row_group_size=1000, compression="none")
    whole = path.read_bytes()
    assert texts(path) == rows
    place = whole.index(b"prompt 9500")
    path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
    assert len(list(itertools.islice(read_prompts(path), 8000))) == 8000
    refused(path, "not UTF-8: row 9500")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"prompt": ["a"]}, "no column 'text'; it has: prompt"),
        ({"text": [1, 2]}, "column 'text' is not of strings but of int64"),
        ({"text": [["a"]]}, "column 'text' is not of strings but of list"),
        ({"text": [{"a": "b"}]}, "column 'text' is not of strings but of struct"),
        ({"text": pa.array([], pa.string())}, "is empty"),
        (pa.table([["a"], ["b"]], names=["text", "text"]), "has 2 columns 'text'"),
    ],
)
def test_parquet_that_is_refused(tmp_path, table, message):
    refused(parquet(tmp_path, table), message)


def test_a_text_that_is_repeated_is_held_once(tmp_path):
    path = parquet(tmp_path, {"text": ["a" * 100_000] * 1000})
    before = pa.total_allocated_bytes()
    prompts = read_prompts(path)
    next(prompts)
    assert pa.total_allocated_bytes() - before < 10_000_000
    assert sum(1 for _ in prompts) == 999


def test_damage_to_parquet_is_found(tmp_path):
    path = parquet(tmp_path, {"text": ["a red circle"] * 9}, write_page_checksum=True)
    whole = path.read_bytes()
    place = whole.index(b"circle")
    path.write_bytes(whole[:place] + b"s" + whole[place + 1 :])
    refused(path, "damaged parquet: could not verify page integrity")
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "damaged parquet")
    path.write_bytes(b"")
    refused(path, "damaged parquet")


def test_without_pyarrow_one_line_says_what_to_install(tmp_path, monkeypatch):
    path = parquet(tmp_path, {"text": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(path, "read by pyarrow, which is not installed: pip install pyarrow")


def test_only_parquet_needs_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert texts(write(tmp_path, "p.json", FORMS["list"](ROWS))) == TEXTS


def test_other_endings_are_refused_by_all_that_are_accepted(tmp_path):
    refused(
        write(tmp_path, "p.xlsx", "x"),
        "use .txt, .csv, .tsv, .jsonl, .json, .parquet",
    )
