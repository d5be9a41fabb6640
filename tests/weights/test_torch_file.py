"""The reader of torch.save files against torch's own verdicts, and hostile files."""

import io
import pickle
import pickletools
import time

import numpy as np
import pytest
import torch_mutants
from torch_files import Tensor, tensors, write_legacy, write_torch

from avits_jax.weights.name_map import WeightsError
from avits_jax.weights.torch_file import read_torch
from avits_jax.weights.torch_pickle import read_pickle

BASES, VERDICTS = torch_mutants.stored()
IN_THE_SUITE = 300


def read(path):
    """All numbers of a file as one checksum; None where it is refused in one line."""
    try:
        return torch_mutants.checksum(dict(read_torch(path).items()))
    except WeightsError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return None


def assert_no_laxer(tmp_path, verdicts):
    path, accepted = tmp_path / "x.pt", 0
    mutants = torch_mutants.mutants(BASES, len(verdicts))
    for number, (mutant, verdict) in enumerate(zip(mutants, verdicts, strict=True)):
        path.write_bytes(mutant)
        found = read(path)
        assert found in (None, verdict), f"mutant {number}: {found}, torch: {verdict}"
        accepted += found is not None
    # A reader that refuses everything is strict, too.
    assert accepted > 0.6 * sum(verdict is not None for verdict in verdicts)


def test_whole_files_of_torch_are_read(tmp_path):
    sums = set()
    for name, content in BASES.items():
        path = tmp_path / name
        path.write_bytes(content)
        found = read_torch(path)
        np.testing.assert_array_equal(found["rows"], np.arange(6, 18).reshape(2, 6))
        np.testing.assert_array_equal(found["turned"], np.arange(24).reshape(4, 6).T)
        assert found["none"].shape == (0, 3) and int(np.asarray(found["steps"])) == 7
        sums.add(torch_mutants.checksum(found))
    assert len(sums) == 1


def test_as_strict_as_torch(tmp_path):
    assert_no_laxer(tmp_path, VERDICTS[:IN_THE_SUITE])


@pytest.mark.slow
def test_as_strict_as_torch_on_all_mutants(tmp_path):
    assert_no_laxer(tmp_path, VERDICTS)


def test_verdicts_are_those_of_torch():
    """Needs the extra "parity"; the verdicts were made with the version it names."""
    torch = pytest.importorskip("torch")
    if torch.__version__.partition("+")[0] != "2.13.0":
        pytest.skip(f"verdicts are of torch 2.13.0, not {torch.__version__}")
    found = torch_mutants.torch_verdicts(BASES, IN_THE_SUITE)
    assert found == VERDICTS[:IN_THE_SUITE]


def write_pickle(path, data, **storages):
    """An archive around any pickle."""
    entries = [("a/data.pkl", data), ("a/byteorder", b"little")]
    entries += [(f"a/data/{key}", value) for key, value in storages.items()]
    path.write_bytes(torch_mutants.packed([*entries, ("a/version", b"3\n")]))


def tensor_pickle(tail=b"", shape=b"K\x02\x85", storage=b"X\x01\0\0\0s"):
    """A state dict of one float32 tensor "w", and operations after the tensor."""
    kind = b"(X\x07\0\0\0storagectorch\nFloatStorage\n"
    pid = kind + storage + b"X\x03\0\0\0cpuK\x02tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid
    tensor += b"K\0" + shape + b"K\x01\x85\x89NtR"
    return b"\x80\x02}X\x01\0\0\0w" + tensor + tail + b"s."


HOSTILE = {
    "an object is changed after its check": (
        tensor_pickle(b"}X\x07\0\0\0stridesK\x09\x85sb"),
        "changes an object after it is made",
    ),
    "beyond the storage": (tensor_pickle(shape=b"K\x03\x85"), "beyond its storage"),
    "another storage": (tensor_pickle(storage=b"X\x01\0\0\0t"), "is missing"),
    "a path as storage": (tensor_pickle(storage=b"X\x05\0\0\0../s1"), "is missing"),
    "65 axes": (tensor_pickle(shape=b"(" + b"K\x01" * 65 + b"t"), "65 axes"),
    "a large memo index": (b"\x80\x02Nr\xff\xff\xff\x1f.", "no state dict"),
    "a list in itself": (b"\x80\x02]q\0(" + b"h\0" * 40 + b"e.", "no state dict"),
    "deep": (b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".", "no state dict"),
    "a deep key": (
        b"\x80\x02})" + b"\x85" * 20_000 + b"Ns.",
        "a key that is neither text nor number",
    ),
    "a negative size": (tensor_pickle(shape=b"J\xff\xff\xff\xff\x85"), "or negative"),
    "a call of a tensor": (tensor_pickle(b")R"), "calls what is no function"),
    "code": (b"\x80\x02cos\nsystem\n(X\x02\0\0\0lstR.", "names 'os.system', no tensor"),
    "terminal codes": (b"\x80\x02c\x1b[31m\nx\n.", "no tensor"),
    "no end": (b"\x80\x02}", "damaged"),
    "too long": (b"\x80\x02" + b"]0" * 2**21 + b"N.", "at most 4194304 are accepted"),
    "unknown operation": (b"\x80\x02(i__main__\nx\n.", "asks for INST"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path, name):
    data, message = HOSTILE[name]
    path = tmp_path / "x.pt"
    write_pickle(path, data, s=bytes(8))
    started = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        read_torch(path)
    text = str(caught.value)
    assert message in text and "\n" not in text and "\x1b" not in text
    assert len(text) < 500 and time.perf_counter() - started < 30


def test_what_the_hostile_pickles_are_made_of_is_read(tmp_path):
    write_pickle(tmp_path / "x.pt", tensor_pickle(), s=np.float32([1, 2]).tobytes())
    np.testing.assert_array_equal(read_torch(tmp_path / "x.pt")["w"], [1, 2])


def test_a_storage_has_the_size_of_its_entry_and_its_checksum(tmp_path):
    path = tmp_path / "x.pt"
    for size in (4, 12):
        write_pickle(path, tensor_pickle(), s=bytes(size))
        with pytest.raises(WeightsError, match="missing, or of another size"):
            read_torch(path)
    write_torch(path, tensors({"w": np.arange(1000.0)}))
    content = path.read_bytes()
    at = content.index(np.arange(1000.0).tobytes()) + 4001
    path.write_bytes(content[:at] + b"\x55" + content[at + 1 :])
    tensor = read_torch(path)["w"]
    for _ in range(2):
        with pytest.raises(WeightsError, match="a checksum does not match"):
            np.asarray(tensor)


def test_protocols_of_pickle_that_torch_does_not_read(tmp_path):
    for protocol in (0, 1, 3, 4, 5):
        data = pickle.dumps({"a": [1, "x", 2.5, (1, 2)]}, protocol)
        if protocol in (1, 3):
            assert read_pickle(io.BytesIO(data)) == {"a": [1, "x", 2.5, (1, 2)]}
            continue
        assert {op.name for op, *_ in pickletools.genops(data)}
        with pytest.raises(WeightsError, match="which no tensor needs"):
            read_pickle(io.BytesIO(data))


def test_a_legacy_file_states_its_storages_once(tmp_path):
    path = tmp_path / "x.pt"
    write_legacy(path, {"w": Tensor(np.ones(2)), "v": Tensor(np.ones(3))})
    content = path.read_bytes()
    assert set(read_torch(path)) == {"w", "v"}
    for old, new in (
        (b"X\x01\0\0\x001q", b"X\x01\0\0\x000q"),
        (b"\x6c\xfc\x9c", b"\x6d\xfc\x9c"),
    ):
        path.write_bytes(new.join(content.rsplit(old, 1)))
        with pytest.raises(WeightsError, match="damaged|not from torch.save"):
            read_torch(path)
