"""Features of real clips: ours, JavisBench's cache, av-benchmark's folder."""

import io
import pickle
import zipfile

import bench_cases
import numpy as np
import pytest
from goldens import golden_cases
from torch_files import Tensor, write_torch

from avits_jax.bench import (
    read_evaluated,
    read_references,
    references_of,
    write_published,
    write_references,
)
from avits_jax.bench.references import read_published, require_fitting
from avits_jax.weights import torch_saving
from avits_jax.weights.torch_file import read_torch

_GOLDENS = golden_cases("benchmarks", "refstats")


@pytest.fixture
def real(tmp_path):
    made = bench_cases.protocol()
    clips = bench_cases.clips(made, bench_cases.JAVIS_FEATURES, seed=1, rows=(0, 2, 5))
    folder = bench_cases.write(tmp_path / "real", made, clips, name="real clips")
    return references_of(read_evaluated([folder]))


@pytest.mark.parametrize("golden", _GOLDENS)
def test_the_published_cache_is_read(golden):
    found = read_references(golden.folder / f"{golden.name}.pt")
    assert found.mode == "bench" and found.made is None
    np.testing.assert_array_equal(found.rows, range(len(golden.outputs["video"])))
    for name, key in (("i3d", "video"), ("audioclip", "audio")):
        np.testing.assert_array_equal(found.features[name], golden.outputs[key])


@pytest.mark.parametrize("golden", _GOLDENS)
def test_the_published_cache_is_written_as_torch_would(golden, tmp_path):
    path = golden.folder / f"{golden.name}.pt"
    write_published(tmp_path / "own.pt", read_published(path))
    for name, found in read_published(tmp_path / "own.pt").items():
        np.testing.assert_array_equal(found, read_published(path)[name])
    assert _calls(tmp_path / "own.pt") == _calls(path)


class _Named(str):
    """A function of torch that says how it was called."""

    def __call__(self, *arguments):
        return (str(self), arguments)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        return _Named(f"{module}.{name}")

    def persistent_load(self, described):
        return described


def _calls(path):
    """What a file's pickle would have torch do."""
    with zipfile.ZipFile(path) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("data.pkl"))
        return _Unpickler(io.BytesIO(archive.read(name))).load()


def test_large_numbers_and_empty_tensors_are_written(tmp_path):
    for number in (0, 2**31 - 1, 2**31, 2**40):
        assert pickle.loads(b"\x80\x02" + torch_saving._whole(number) + b".") == number
    torch_saving.write_torch(tmp_path / "x.pt", {"a": np.zeros((0, 3))})
    assert np.asarray(read_torch(tmp_path / "x.pt")["a"]).shape == (0, 3)


def test_own_references_are_read_again_with_what_made_them(real, tmp_path):
    write_references(tmp_path / "real.safetensors", real)
    found = read_references(tmp_path / "real.safetensors")
    assert found.made == real.made and found.digest == real.digest
    np.testing.assert_array_equal(found.rows, [0, 2, 5])
    for name, clips in real.features.items():
        np.testing.assert_array_equal(found.features[name], clips)


def test_features_of_several_rows_a_clip_keep_their_rows(real, tmp_path):
    pieces = [np.full((count, 2), count, np.float32) for count in (3, 1, 2)]
    real.features["vggish"] = pieces
    write_references(tmp_path / "real.safetensors", real)
    found = read_references(tmp_path / "real.safetensors").features["vggish"]
    for own, read in zip(pieces, found, strict=True):
        np.testing.assert_array_equal(own, read)


def test_a_flipped_byte_is_damage(real, tmp_path):
    path = tmp_path / "real.safetensors"
    write_references(path, real)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged: its digest does not match"):
        read_references(path)


def test_av_benchmarks_folder_is_read_by_the_names_of_clips(tmp_path):
    rng = np.random.default_rng(0)
    ids = ["b_000001", "a_000002", "c_000003"]
    files = {
        "vggish_features.pth": {i: rng.normal(size=(2, 3)) for i in ids[:2]},
        "passt_logits.pth": {i: rng.normal(size=4) for i in reversed(ids)},
        "pann_features.pth": {
            i: {"2048": rng.normal(size=5), "logits": rng.normal(size=4)} for i in ids
        },
    }
    for file, table in files.items():
        write_torch(tmp_path / file, _tensors(table))
    found = read_references(tmp_path, ["c_000003", "x", *ids[:2]])
    np.testing.assert_array_equal(found.rows, [2, 3])
    expected = files["pann_features.pth"][ids[1]]["2048"].astype(np.float32)
    np.testing.assert_array_equal(found.features["panns"][1], expected)
    assert found.features["vggish"][0].shape == (2, 3)
    assert set(found.features) == {"vggish", "passt_logits", "panns", "panns_logits"}
    with pytest.raises(ValueError, match="ids must name the clips"):
        read_references(tmp_path)
    with pytest.raises(ValueError, match="features of none of the prompts' clips"):
        read_references(tmp_path, ["x"])
    write_torch(tmp_path / "passt_logits.pth", _tensors(files["pann_features.pth"]))
    with pytest.raises(ValueError, match="is of another metric: it holds 2048, logits"):
        read_references(tmp_path, ids)


def _tensors(table):
    if isinstance(table, dict):
        return {key: _tensors(value) for key, value in table.items()}
    return Tensor(np.asarray(table, np.float32))


def test_a_cache_of_another_metric_is_refused_in_one_line(tmp_path):
    other = tmp_path / "other.pt"
    write_torch(
        other, _tensors({"video": np.zeros((2, 400)), "image": np.zeros((2, 4))})
    )
    with pytest.raises(
        ValueError, match="must hold video and audio, it holds video, i"
    ):
        read_references(other)
    write_torch(
        other, _tensors({"video": np.zeros((2, 9)), "audio": np.zeros((2, 1024))})
    )
    with pytest.raises(
        ValueError, match=r"i3d must be float32 \[2, 400\], got .* \[2, "
    ):
        read_references(other)
    other.write_bytes(b"no file of torch")
    with pytest.raises(ValueError, match="other.pt"):
        read_references(other)


@pytest.mark.parametrize(
    "name, message",
    [
        ("none.pt", "do not exist"),
        ("none.safetensors", "do not exist"),
        ("none.npz", "must be a .safetensors file, JavisBench's .pt or a folder"),
        ("", "holds none of pann_features.pth"),
    ],
)
def test_what_is_no_reference_is_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        read_references(tmp_path / name, ["a"])


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"mode": "default"}, "are of mode 'bench', the clips .* mode 'default'"),
        ({"checkpoints": {"i3d": "c"}}, "other checkpoints: i3d is b, .* evaluation c"),
        (
            {"decoders": {"av": "16.0"}},
            "other decoders: av is 15.0, .* evaluation 16.0",
        ),
        ({"prompts": "1" * 64}, "are of other prompts than the evaluation"),
    ],
)
def test_references_of_other_settings_are_refused_in_one_line(real, changed, message):
    require_fitting(real, bench_cases.protocol(), ["i3d"])
    with pytest.raises(ValueError, match=message) as caught:
        require_fitting(real, bench_cases.protocol(**changed), ["i3d"])
    assert "\n" not in str(caught.value)


def test_references_without_the_feature_are_refused(real):
    with pytest.raises(
        ValueError, match="hold no panns features; they hold i3d, audio"
    ):
        require_fitting(real, bench_cases.protocol(), ["panns"])


def test_references_need_features_and_say_what_made_them(tmp_path):
    made = bench_cases.protocol()
    empty = bench_cases.write(tmp_path / "e", made, [], name="real clips")
    with pytest.raises(ValueError, match="no clip of real clips has features"):
        references_of(read_evaluated([empty]))
    golden = _GOLDENS[0].values[0]
    published = read_references(golden.folder / f"{golden.name}.pt")
    with pytest.raises(ValueError, match="do not say what made them"):
        write_references(tmp_path / "x.safetensors", published)
    with pytest.raises(ValueError, match="features must hold audioclip, got i3d"):
        write_published(tmp_path / "x.pt", {"i3d": np.zeros((1, 400))})
