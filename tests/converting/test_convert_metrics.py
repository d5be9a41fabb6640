"""Networks of metrics converted from files as published, listed, loaded and run."""

import json
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from goldens import golden_cases
from torch_files import tensors, write_torch

from avits_jax.catalogue import metrics
from avits_jax.cli import main
from avits_jax.converting.models import find_model
from avits_jax.metrics.cnn14 import parts as cnn14
from avits_jax.metrics.passt import parts as passt
from avits_jax.metrics.vggish import parts as vggish
from avits_jax.weights.config import config_values
from tools.parity import av_bench

GOLDENS = {case.id: case.values[0] for case in golden_cases("benchmarks")}
_ONE = np.ones(1, np.float32)


class Published(NamedTuple):
    """A file as it is published, and what it must do.

    Attributes:
        parts: module of the network.
        golden: its weights.
        config_of: ``golden -> sizes``.
        wrap: ``state dict -> what torch.save was given``.
        dropped: keys left out.
    """

    parts: Any
    golden: str
    config_of: Any
    wrap: Any
    dropped: int


def _with_whitening(state):
    return {**state, "pproc.pca_means": _ONE, "pproc.pca_eigen_vectors": _ONE}


def _under_model(state):
    """A training checkpoint, with the transform that the golden's copy lacks."""
    name = "spectrogram_extractor.stft.conv_{}.weight"
    state = {**state, **{name.format(part): _ONE for part in ("real", "imag")}}
    return {"iteration": 600_000, "model": tensors(state)}


def _in_wrapper(state):
    return {"device_proxy": _ONE, **{f"net.{k}": v for k, v in state.items()}}


FILES = {
    "cnn14": Published(
        cnn14, "panns_cnn14_tiny", av_bench.cnn14_config, _under_model, 16
    ),
    "vggish": Published(
        vggish, "vggish_tiny", av_bench.vggish_config, _with_whitening, 2
    ),
    "passt": Published(
        passt, "passt_tiny", av_bench.passt_config, lambda state: state, 2
    ),
    "passt-wrapped": Published(
        passt, "passt_tiny", av_bench.passt_config, _in_wrapper, 3
    ),
}


def write(folder, published):
    """Write the file and its sizes; return the flags that convert them."""
    golden = GOLDENS[published.golden]
    tree = published.wrap(dict(golden.weights))
    source, sizes = folder / "published.pth", folder / "sizes.json"
    write_torch(source, tree if "model" in tree else tensors(tree))
    sizes.write_text(json.dumps(config_values(published.config_of(golden))))
    return ["--source", str(source), "--sizes", str(sizes)]


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_is_converted_and_gives_its_features(tmp_path, name, capsys):
    published = FILES[name]
    golden, model = GOLDENS[published.golden], published.parts.MODEL
    flags, out = write(tmp_path, published), tmp_path / "out"
    assert main(["convert", model.name, *flags, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    counts = [
        int(line.split()[1].rstrip(":"))
        for line in printed.splitlines()
        if line.startswith("  dropped")
    ]
    assert sum(counts) == published.dropped
    apply, params = published.parts.load(out)
    (part,) = model.parts
    like = part.build(published.config_of(golden))[1]
    found = jax.tree.map(lambda leaf: leaf.shape, params)
    assert found == jax.tree.map(lambda leaf: leaf.shape, like)
    if published.parts is passt:  # it hears 10 s, the golden less
        return
    with jax.default_matmul_precision("highest"):
        heard = jax.tree.leaves(jax.jit(apply)(params, golden.inputs["wave"]))
    for each, expected in zip(heard, golden.outputs.values(), strict=True):
        np.testing.assert_allclose(each, expected, atol=7e-5)


@pytest.mark.parametrize("network", metrics.NETWORKS, ids=lambda each: each.name)
def test_every_network_of_the_catalogue_can_be_fetched_converted_and_built(network):
    model = find_model(network.name)
    assert model.name == network.name
    assert model.downloads and all(each.gigabytes > 0 for each in model.downloads)
    (part,) = model.parts
    size = sum(leaf.size for leaf in jax.tree.leaves(part.build(part.config)[1]))
    stated = sum(each.gigabytes for each in model.downloads)
    assert 4e-9 * size < 1.2 * stated  # a file may hold other networks as well


def test_list_says_what_to_fetch_and_under_which_licence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path))
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for network in metrics.NETWORKS:
        assert f"{network.name} weights: missing ({network.licence})" in printed
        assert f"avits convert {network.name} --source FOLDER" in printed
    assert "Cnn14_16k_mAP=0.438.pth of zenodo.org/records/3987831 (0.32 GB" in printed
    assert "vggish weights: missing (licence not seen)" in printed


def test_verify_reads_a_converted_network(tmp_path, monkeypatch, capsys):
    home = tmp_path / "checkpoints"
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(home))
    flags, out = write(tmp_path, FILES["vggish"]), home / "vggish"
    assert main(["convert", "vggish", *flags, "--out", str(out)]) == 0
    assert main(["list", "--verify"]) == 0
    assert f"whole    {out}" in capsys.readouterr().out
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text().replace("vggish", "vggosh"))
    assert main(["list", "--verify"]) == 1
    assert f"DAMAGED  {out}" in capsys.readouterr().out
