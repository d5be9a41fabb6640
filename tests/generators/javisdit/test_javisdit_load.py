"""Loading JavisDiT: parts, sizes that fit, faults named; and clips that are given."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_helpers import random_params
from tiny_javisdit import CONFIG

import avits_jax as avits
from avits_jax.generators.javisdit.config import Networks
from avits_jax.generators.javisdit.load import Options, make
from avits_jax.generators.javisdit.networks import check_sizes
from avits_jax.generators.javisdit.parts import MODEL
from avits_jax.weights import checkpoint
from avits_jax.weights.checkpoint import CheckpointError
from avits_jax.weights.config import config_values
from avits_jax.weights.model import read_configs, read_parts
from avits_jax.weights.network import Weights
from avits_jax.weights.parts import write_index

PARTS = Networks._fields


def write_parts(folder, config, names=PARTS, model=MODEL.name):
    """A checkpoint whose parts have a manifest and nothing else."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").write_text("{}")
    sizes = {name: config_values(getattr(config, name)) for name in names}
    write_index(folder, names, {"model": model, "config": sizes})
    return Weights(folder)


def test_sizes_come_from_the_checkpoint(tmp_path):
    assert read_configs(MODEL, write_parts(tmp_path, CONFIG)) == CONFIG._asdict()


def test_networks_that_do_not_fit_are_named():
    wrong = CONFIG._replace(
        t5=replace(CONFIG.t5, d_model=48),
        prior=replace(CONFIG.prior, prior_width=24),
    )
    message = "t5.d_model is 48, expected 32; prior.prior_width is 24, expected 16"
    with pytest.raises(ValueError, match=message):
        check_sizes(wrong)


def test_missing_exchanged_and_foreign_parts_are_named(tmp_path):
    few = write_parts(tmp_path / "few", CONFIG, ("transformer", "video_vae"))
    with pytest.raises(CheckpointError, match="no prior; no audio_vae; no t5"):
        read_configs(MODEL, few)
    other = write_parts(tmp_path / "other", CONFIG, model="javisdit-v2")
    with pytest.raises(CheckpointError, match="'javisdit-v2', not 'javisdit-v0.1'"):
        read_configs(MODEL, other)
    (tmp_path / "other" / "parts.json").unlink()
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        read_configs(MODEL, other)


def test_tokenizer_files_are_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"spiece\.model"):
        make(CONFIG._asdict(), write_parts(tmp_path, CONFIG).folder, Options())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"resolution": "241p"}, "241p.*240p"),
        ({"aspect_ratio": "7:16"}, "7:16.*9:16"),
        ({"duration": "3s"}, "3s.*4s"),
        ({"decode_frames": 0}, "decode_frames is 0"),
        ({"decode_chunks": 0}, "decode_chunks is 0"),
        ({"text_bucket": 0}, "text_bucket is 0"),
    ],
)
def test_what_is_not_on_offer_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        avits.generators.load("javisdit-tiny", **options)


@pytest.mark.parametrize(
    ("options", "length"),
    [({}, 64), ({"text_bucket": 128}, 128), ({"text_bucket": 300}, 300)],
)
def test_texts_are_padded_as_asked_for(options, length):
    made = make(MODEL.reduced, None, Options(**options), reduced=True)
    assert made.encode("a dog barks").text.shape == (length,)


def test_parts_are_read_at_their_dtype_and_constants_in_float32(tmp_path, unchecked):
    """Two parts are written for real; the three others are left out."""

    class Two(NamedTuple):
        transformer: dict
        t5: dict

    def few(part, kept):
        like = part.build(getattr(CONFIG, part.name))[1]
        own = {name: like[name] for name in kept or like}
        return part._replace(build=lambda config: (None, own)), own

    parts = {part.name: part for part in MODEL.parts}
    kept = ("rotary", "modulation", "null_text")
    chosen = [few(parts["transformer"], kept), few(parts["t5"], ())]
    model = MODEL._replace(parts=tuple(part for part, _ in chosen), join=Two)
    drawn = random_params(Two(*(like for _, like in chosen)))
    for name, tree in drawn._asdict().items():
        checkpoint.save(tmp_path / name, tree, {"model": f"{MODEL.name}/{name}"})
    sizes = CONFIG._asdict()
    found = read_parts(model, Weights(tmp_path, "bfloat16"), sizes)
    rotary = found.transformer.pop("rotary")
    np.testing.assert_array_equal(rotary, drawn.transformer.pop("rotary"))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(drawn), strict=True):
        np.testing.assert_array_equal(one, other.astype(jnp.bfloat16))
    (tmp_path / "t5" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="t5"):
        read_parts(model, Weights(tmp_path), sizes)


def test_constants_among_random_weights_are_real(monkeypatch):
    def quick(like, *_):
        return random_params(like)

    monkeypatch.setattr("avits_jax.weights.model.random_weights", quick)
    found = read_parts(MODEL, Weights(None, "bfloat16"), CONFIG._asdict())
    count = CONFIG.transformer.head_width // 2
    expected = 10_000.0 ** (-np.arange(count) / count)
    np.testing.assert_allclose(found.transformer["rotary"], expected, rtol=1e-6)
    np.testing.assert_allclose(found.video_vae["scale"], [3.85, 2.32, 2.33, 3.06])
    assert found.video_vae["shift"].dtype == np.float32
    assert found.transformer["null_text"].dtype == jnp.bfloat16
