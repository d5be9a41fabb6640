"""Damaged safetensors files, indices and checkpoints: read rightly, or refused."""

import json
import shutil

import mutating
import numpy as np
import pytest
from goldens import golden_cases  # noqa: F401  (makes ``tools`` importable)
from safetensors.numpy import load, save

from avits_jax.converting.files import read_weights
from avits_jax.weights import checkpoint, manifest
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.name_map import WeightsError

STATE = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.weight": np.ones((1, 2, 2), np.float64),
    "n": np.array(7, np.int64),
}
FEW, MANY = 250, 2000
COUNTS = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]


def one_line(error):
    assert "\n" not in str(error) and len(str(error)) < 5000


@pytest.mark.parametrize("count", COUNTS)
def test_safetensors_as_strict_as_the_library(tmp_path, count):
    path, read = tmp_path / "x.safetensors", 0
    for mutant in mutating.mutants(save(STATE), count, 1):
        path.write_bytes(mutant)
        try:
            found = {key: np.asarray(x) for key, x in read_weights(path).items()}
        except WeightsError as error:
            one_line(error)
            continue
        expected = load(mutant)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value.astype(found[key].dtype))
        read += 1
    assert read > count / 100


@pytest.mark.parametrize("count", COUNTS)
def test_indices(tmp_path, count):
    (tmp_path / "x.safetensors").write_bytes(save(STATE))
    index = tmp_path / "model.safetensors.index.json"
    listed = {"weight_map": dict.fromkeys(STATE, "x.safetensors"), "metadata": {}}
    read = 0
    for mutant in mutating.mutants(json.dumps(listed).encode(), count, 2):
        index.write_bytes(mutant)
        try:
            assert read_weights(index).keys() == STATE.keys()
            read += 1
        except WeightsError as error:
            one_line(error)
    assert read > count / 100


@pytest.fixture
def saved(tmp_path):
    """A small checkpoint."""
    metadata = {"model": "m", "config": {"width": 4}}
    return checkpoint.save(tmp_path / "m", {"a": np.ones((2, 3)), "b": [1.0]}, metadata)


def loaded(folder):
    """Tell whether a checkpoint is read; it is, as it was, or refused in one line."""
    try:
        tree = checkpoint.load(folder).tree
    except CheckpointError as error:
        one_line(error)
        return False
    return tree


@pytest.mark.parametrize("count", COUNTS)
def test_manifests(saved, count):
    """Damaged by accident: nothing but the layout of the text may differ."""
    file = saved / "manifest.json"
    for mutant in mutating.mutants(file.read_bytes(), count, 3):
        file.write_bytes(mutant)
        tree = loaded(saved)
        assert tree is False or np.array_equal(tree["a"], np.ones((2, 3)))


@pytest.mark.parametrize("count", COUNTS)
def test_manifests_whose_digest_fits(saved, count):
    file, refused = saved / "manifest.json", 0
    content = json.loads(file.read_text())
    for mutant in mutating.mutants(json.dumps(content).encode(), count, 4):
        try:
            manifest.write_sealed(file, json.loads(mutant))
        except (ValueError, TypeError):
            file.write_bytes(mutant)
        refused += loaded(saved) is False
    assert count / 2 < refused < count


@pytest.mark.parametrize("count", [60, pytest.param(MANY, marks=pytest.mark.slow)])
def test_stores_whose_digests_fit(saved, tmp_path, count):
    """Whoever makes a checkpoint states the digests of its files."""
    files = [x for x in sorted((saved / "arrays").rglob("*")) if x.is_file()]
    content = json.loads((saved / "manifest.json").read_text())
    other = tmp_path / "other"
    for file in files:
        each = max(1, count // len(files))
        for mutant in mutating.mutants(file.read_bytes(), each, 5):
            shutil.rmtree(other, ignore_errors=True)
            shutil.copytree(saved, other)
            (other / file.relative_to(saved)).write_bytes(mutant)
            described = manifest.describe_files(other)
            described = [x for x in described if x["path"] != "manifest.json"]
            manifest.write_sealed(
                other / "manifest.json", content | {"files": described}
            )
            tree = loaded(other)
            assert tree is False or np.array_equal(tree["a"], np.ones((2, 3)))
