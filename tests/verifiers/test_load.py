"""Verifiers and generators by name, before any network is looked at."""

import math

import jax
import numpy as np
import pytest

from avits_jax import arw, generators, sigmas, verifiers
from avits_jax.catalogue import records as catalogue
from avits_jax.catalogue.names import Request, parse
from avits_jax.catalogue.verifiers import FAMILIES


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("javis_score", Request("javis_score")),
        ("clap:its", Request("clap", mode="its")),
        ("clap@tiny", Request("clap", "tiny")),
        ("clap@some/folder.v1:bench", Request("clap", "some/folder.v1", "bench")),
    ],
)
def test_names_are_read(text, request_):
    assert parse(text) == request_


@pytest.mark.parametrize("text", ["", "Clap!", "clap@", "clap:", "clap:fast", "@tiny"])
def test_other_names_are_refused(text):
    with pytest.raises(ValueError, match="NAME|mode of verifier"):
        parse(text)


@pytest.fixture
def nothing_converted(monkeypatch, tmp_path):
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.checkpoint])
def test_missing_weights_are_explained(family, nothing_converted):
    name = next(iter(family.outputs))
    with pytest.raises(ValueError) as error:
        verifiers.load([name], fps=24, sample_rate=16_000)
    text = str(error.value)
    wanted = [f"avits convert {family.checkpoint} ", "--random-weights", " GB"]
    info = next(each for each in verifiers.available() if each.name == name)
    wanted += [each.repository for each in info.downloads]
    wanted += [each.licence for each in info.downloads]
    assert len(wanted) >= 5
    assert all(part in text for part in wanted)


def test_a_missing_generator_is_explained(nothing_converted):
    with pytest.raises(ValueError, match="avits convert javisdit --source"):
        generators.load("javisdit-v0.1")
    assert generators.randomly_initialised("javisdit-v0.1", True) == ("javisdit-v0.1",)
    assert not generators.randomly_initialised("mini", True)
    assert generators.randomly_initialised("javisdit-tiny") == ("javisdit-tiny",)


def test_drawn_weights_are_known_by_name(nothing_converted):
    names = ["mini_tv", "clap", "clap@tiny", "av_align"]
    assert verifiers.randomly_initialised(names) == ("clap@tiny",)
    assert verifiers.randomly_initialised(names, True) == ("clap", "clap@tiny")


@pytest.mark.parametrize(
    ("names", "rates", "message"),
    [
        (["av_align"], {"sample_rate": 8000}, "fps of the clips.*av_align, got None"),
        (["av_align"], {"fps": 24, "sample_rate": 0}, "sample_rate.*got 0"),
        (["mini_tv"], {"fps": 24}, "fps and sample_rate must be 8 and 16000"),
        (["mini_tv:its"], {}, "one mode"),
        (["clap@nowhere"], {"fps": 8, "sample_rate": 8000}, "nowhere.*no folder"),
        (["java_score"], {}, "did you mean 'javis_score'"),
        ("clap", {}, "at least one verifier"),
    ],
)
def test_bad_requests_are_refused(names, rates, message, nothing_converted):
    with pytest.raises(ValueError, match=message):
        verifiers.load(names, **rates)


def test_checkpoints_are_looked_for_where_the_user_says(monkeypatch, tmp_path):
    (tmp_path / "mine" / "clap").mkdir(parents=True)
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path / "mine"))
    assert catalogue.converted("clap") == tmp_path / "mine" / "clap"
    monkeypatch.delenv("AVITS_CHECKPOINTS")
    (tmp_path / "checkpoints" / "clap").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert catalogue.converted("clap").resolve() == tmp_path / "checkpoints" / "clap"


def test_settings_reach_their_family_and_others_are_refused():
    """Fewer frames are another score; a verifier without the setting refuses it."""
    with pytest.raises(ValueError, match="'frame_rate' is not a setting.*have: none"):
        verifiers.load(["av_align"], fps=24, sample_rate=16_000, frame_rate=8)
    with pytest.raises(ValueError, match="frame_rate must be positive, got -1"):
        verifiers.load(["javis_score@tiny"], fps=24, sample_rate=16_000, frame_rate=-1)


def test_what_is_known_of_rewards_comes_with_the_verifier():
    loaded, _ = verifiers.load(["av_align", "clap@tiny"], fps=24, sample_rate=16_000)
    assert [each.range for each in loaded] == [(0.0, math.inf), (-1.0, 1.0)]
    with pytest.raises(ValueError, match="no mean and deviation.*clap@tiny"):
        verifiers.priors(["clap@tiny"])
    mean, std = verifiers.priors(["mini_av", "mini_quality_judge"])
    assert mean[0] < 0 < mean[1] and min(std) > 0
    state = arw([1, 1], prior_mean=mean, prior_std=std).init(2)
    np.testing.assert_allclose(sigmas(state), std, rtol=1e-4)


def test_shapes_are_those_of_the_weights():
    names = ["mini_tv", "clap@tiny", "av_align"]
    rates = {"fps": 8, "sample_rate": 16_000}
    _, weights = verifiers.load(names, **rates)
    made, shapes = verifiers.shapes(names, **rates)
    assert [each.name for each in made] == names
    like = jax.tree.map(lambda x: (x.shape, x.dtype), weights)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == like
