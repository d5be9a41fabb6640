"""Readers of published weight files: safetensors, shards, and torch.save files."""

import json
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest
from goldens import golden_cases  # noqa: F401  (makes ``tools`` importable)
from safetensors.numpy import save_file
from torch_files import Storage, Tensor, tensors, write_legacy, write_torch

from avits_jax.converting.files import read_weights, tokenizer_files
from avits_jax.weights.name_map import WeightsError

RNG = np.random.default_rng(0)
STATE = {
    "a.weight": RNG.normal(size=(3, 4)).astype(np.float32),
    "a.bias": RNG.normal(size=3).astype(np.float16),
    "b": RNG.normal(size=(2, 1, 2)).astype(ml_dtypes.bfloat16),
    "steps": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
}
WRITERS = {
    "whole.safetensors": lambda path: save_file(STATE, path),
    "zip.pth": lambda path: write_torch(path, tensors(STATE)),
    "old.bin": lambda path: write_legacy(path, tensors(STATE)),
    "wrapped.ckpt": lambda path: write_torch(
        path, {"epoch": 3, "state_dict": tensors(STATE), "note": ["x", None, 0.5]}
    ),
}


def assert_state(found, expected=STATE):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key].shape, found[key].dtype) == (value.shape, value.dtype)
        read = np.asarray(found[key])
        half = value.dtype.itemsize == 2
        assert read.dtype == (np.float32 if half else value.dtype)
        np.testing.assert_array_equal(read, value.astype(read.dtype))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_tensors(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert_state(read_weights(tmp_path / name))
    assert_state(read_weights(tmp_path))


@pytest.mark.parametrize("write", [write_torch, write_legacy])
def test_views_and_parameters(tmp_path, write):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    storage = Storage(whole)
    state = OrderedDict(
        rows=Tensor(whole[1:3], storage, offset=6),
        turned=Tensor(whole.T, storage, strides=(1, 6)),
        parameter=Tensor(whole, storage, parameter=True),
    )
    state._metadata = {"": {"version": 1}}
    write(tmp_path / "x.pt", state)
    expected = {"rows": whole[1:3], "turned": whole.T, "parameter": whole}
    assert_state(read_weights(tmp_path / "x.pt"), expected)


def write_shards(folder, kind="safetensors"):
    keys = list(STATE)
    halves = {f"model-{i}.{kind}": keys[i::2] for i in range(2)}
    for name, part in halves.items():
        state = {key: STATE[key] for key in part}
        if kind == "safetensors":
            save_file(state, folder / name)
        else:
            write_torch(folder / name, tensors(state))
    stem = "model.safetensors" if kind == "safetensors" else "pytorch_model.bin"
    listed = {key: name for name, part in halves.items() for key in part}
    index = folder / f"{stem}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    return index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(tmp_path, kind):
    index = write_shards(tmp_path, kind)
    assert_state(read_weights(tmp_path))
    assert_state(read_weights(index))


def fault(path):
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_bad_shards(tmp_path):
    index = write_shards(tmp_path)
    stated = json.loads(index.read_text())
    stated["weight_map"]["extra"] = "model-1.safetensors"
    index.write_text(json.dumps(stated))
    assert "shards lack extra of the index" in fault(index)
    stated["weight_map"] |= {"extra": "model-7.safetensors"}
    index.write_text(json.dumps(stated))
    assert "lacks model-7.safetensors, which its index names" in fault(index)
    stated["weight_map"] |= {"extra": "../model-0.safetensors"}
    index.write_text(json.dumps(stated))
    assert "outside its folder" in fault(index)
    index.write_text("{}")
    assert "is no index of shards" in fault(index)


def test_choice_of_files(tmp_path):
    assert "holds no weight file" in fault(tmp_path)
    assert "does not exist" in fault(tmp_path / "x.pt")
    (tmp_path / "notes.txt").write_text("x")
    assert "is no weight file" in fault(tmp_path / "notes.txt")
    write_torch(tmp_path / "one.bin", tensors(STATE))
    write_torch(tmp_path / "training_args.bin", tensors(STATE))
    assert_state(read_weights(tmp_path))
    write_torch(tmp_path / "two.bin", tensors(STATE))
    assert "several weight files, name one: one.bin, two.bin" in fault(tmp_path)
    save_file({"x": np.ones(1)}, tmp_path / "model.fp16.safetensors")
    save_file(STATE, tmp_path / "model.safetensors")
    assert_state(read_weights(tmp_path))


@pytest.mark.parametrize("name", WRITERS)
def test_truncated_files_are_refused(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    for length in (0, 5, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert path.name in fault(path)


def test_dtypes_of_safetensors(tmp_path):
    """8-bit floats are read, in the order of the file; others are named."""
    path = tmp_path / "x.safetensors"
    small = np.array([0.5, -2, 448], ml_dtypes.float8_e4m3fn)
    save_file({"z": small, "a": np.arange(2, dtype=np.float32)}, path)
    found = read_weights(path)
    assert found["z"].dtype == small.dtype
    np.testing.assert_array_equal(found["z"], [0.5, -2, 448])
    np.testing.assert_array_equal(found["a"], [0, 1])
    save_file({"a": np.ones(2, np.complex64)}, path)
    assert "holds dtype C64, which is none of" in fault(path)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_pickles_that_call_anything_else_are_refused(tmp_path):
    mark = tmp_path / "mark"
    for value in (Call(open, str(mark), "w"), Call(eval, "1"), Call(dict), zipfile):
        if value is zipfile:
            value = zipfile.ZipFile
        for write in (write_torch, write_legacy):
            write(tmp_path / "x.pt", {"a": Tensor(np.ones(2)), "b": value})
            assert "no tensor" in fault(tmp_path / "x.pt")
    assert not mark.exists()


def test_tensors_outside_their_storage_are_refused(tmp_path):
    small = Storage(np.ones(3, np.float32))
    cases = (
        Tensor(np.ones(4), small),
        Tensor(np.ones(3), small, offset=1),
        Tensor(np.ones(2), small, strides=(3,)),
        Tensor(np.ones(2), small, offset=2, strides=(-1,)),
    )
    for tensor in cases:
        write_torch(tmp_path / "x.pt", {"a": tensor})
        assert "x.pt" in fault(tmp_path / "x.pt")


def test_other_content_is_no_state_dict(tmp_path):
    for tree in ([1, 2], {}, {"epoch": 3}, {"a": Tensor(np.ones(1)), "b": 3}):
        write_torch(tmp_path / "x.pt", tree)
        assert "no state dict" in fault(tmp_path / "x.pt")


def test_tokenizer_files(tmp_path):
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_text("{}")
    expected = {"tokenizer/tokenizer.json": tmp_path / "tokenizer.json"}
    assert tokenizer_files(tmp_path) == expected
    assert tokenizer_files(tmp_path / "model.pth") == expected


def test_tokenizer_files_of_an_adapter_lie_with_its_base(tmp_path):
    (tmp_path / "base").mkdir()
    for name in ("base/vocab.json", "base/merges.txt", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    names = ("merges.txt", "vocab.json")
    expected = {f"tokenizer/{name}": tmp_path / "base" / name for name in names}
    assert tokenizer_files(tmp_path) == expected


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("[" * 50_000, "nested too deeply"),
        (
            '{"weight_map": {"a": "model.safetensors.index.json"}}',
            "an index, as a shar",
        ),
        ('{"weight_map": {"a": 5}}', "not all names are text"),
        ('{"weight_map": {"a": "x/../y.pt"}}', "outside its folder"),
        ('{"weight_map": {"a": "b", "a": "c"}}', "stands twice"),
        ('{"weight_map": [1]}', "no index of shards"),
        ("5", "no index of shards"),
    ],
)
def test_hostile_indices(tmp_path, listed, message):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(listed)
    assert message in fault(index)


def write_header(path, header, data=b""):
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + data)


def entry(shape, start, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


HEADERS = {
    "overlapping": {"a": entry([2], 0, 8), "b": entry([1], 4, 8)},
    "shifted": {"a": entry([2], 4, 12)},
    "holed": {"a": entry([1], 0, 4), "b": entry([1], 8, 12)},
    "too short": {"a": entry([3], 0, 8)},
    "infinite": '{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}',
    "no number": '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, Infinity]}}',
    "deep": "[" * 50_000,
    "many axes": {"a": entry([1] * 100_000, 0, 4)},
    "huge": {"a": entry([2**62, 2**62], 0, 4)},
}


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_safetensors(tmp_path, name):
    """Offsets that the library refuses are refused, and axes that it leaves alone."""
    write_header(tmp_path / "x.safetensors", HEADERS[name], bytes(12))
    if name == "many axes":
        write_header(tmp_path / "x.safetensors", HEADERS[name], bytes(4))
    assert "x.safetensors" in fault(tmp_path / "x.safetensors")
