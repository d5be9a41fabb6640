"""A generator comes in by a module and a row of the table; no other file is touched."""

import functools
import importlib
import inspect
import os

import goldens  # noqa: F401  (makes tools importable)
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_family
from jax.sharding import AbstractMesh
from safetensors.numpy import save_file
from toy_family import MODEL, TABLE

import avits_jax as avits
from avits_jax.catalogue.generators import SHARE
from avits_jax.cli import main
from avits_jax.parallel.sharding import param_shardings
from avits_jax.types import Verifier


def test_its_author_writes_less_than_eighty_lines_of_code():
    lines = [line for line in inspect.getsource(toy_family).split("\n") if line.strip()]
    assert len(lines) < 80


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Both networks' weights as they are published, and a place for checkpoints."""
    monkeypatch.setenv("AVITS_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part in MODEL.parts:
        folder = tmp_path / "downloads" / part.name
        folder.mkdir(parents=True)
        weight = rng.normal(size=(part.config.size, part.config.width))
        bias = np.zeros(part.config.size, np.float32)
        state = {"fc.weight": weight.astype(np.float32), "fc.bias": bias}
        save_file(state, folder / "model.safetensors")
    return tmp_path


def test_it_is_listed_explained_converted_loaded_and_searched(published):
    (info,) = (e for e in avits.generators.available(TABLE) if e.name == "toy")
    assert not info.present and [e.what for e in info.downloads] == [
        "painter/",
        "singer/",
    ]
    with pytest.raises(ValueError, match=r"someone/toy.*avits convert toy"):
        avits.generators.load("toy", families=TABLE)
    out = os.environ["AVITS_CHECKPOINTS"] + "/toy"
    flags = ["--source", "downloads", "--out", out]
    assert main(["convert", "toy", *flags], families=TABLE) == 0
    generator, params = avits.generators.load("toy", families=TABLE, num_steps=3)
    assert generator.num_steps == 3 and set(params) == {"painter", "singer"}
    brightness = Verifier("bright", lambda p, media, c: media.video.mean((1, 2, 3, 4)))
    search = functools.partial(
        avits.best_of_n,
        generator=generator,
        verifiers=[brightness],
        aggregator=avits.arw([1.0]),
        num_candidates=4,
    )
    cond = avits.encode_prompt("a toy", generator, [brightness])
    output = jax.jit(search)((params, ((),)), jax.random.key(0), cond)
    assert int(output.best_index) == int(jnp.argmax(output.rewards[:, 0]))
    # The folder itself is a name, too.
    again, _ = avits.generators.load(out, families=TABLE)
    assert again.num_steps == 4


def test_its_shapes_options_and_split_are_known_without_weights(published):
    generator, shapes = avits.generators.shapes(
        "toy", families=TABLE, random_weights=True, dtype="bfloat16"
    )
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)]
    assert sum(sizes) == 2 * (48 + 32) * (512 + 1)
    mesh = AbstractMesh((1, 8), ("candidate", "model"))
    split = param_shardings(shapes, mesh, MODEL.split)
    assert split["painter"]["out"]["kernel"].shard_shape((512, 48)) == (512, 6)
    options = avits.generators.options("toy", TABLE)
    assert list(options) == ["num_steps", "loudness"]
    assert options["loudness"] == (float, 0.5, "of its sound, in [0, 1].")
    with pytest.raises(
        ValueError, match="toy has no option 'loud' .*; did you mean 'loudness'"
    ):
        avits.generators.load("toy", families=TABLE, random_weights=True, loud=1)
    assert avits.generators.randomly_initialised("toy", True, TABLE) == ("toy",)


@pytest.mark.parametrize(
    "family", avits.generators.FAMILIES, ids=lambda each: each.name
)
def test_the_table_says_what_models_can(family):
    """The reduced form of each is made, which has all parts of the published one."""
    module = importlib.import_module(family.module)
    form = {"reduced": True} if module.MODEL.reduced else {}
    sizes = {part.name: part.config for part in module.MODEL.parts}
    made = module.make(sizes | module.MODEL.reduced, None, module.Options(), **form)
    others = [
        each for each in avits.generators.FAMILIES if each.name == family.refines_with
    ]
    second = importlib.import_module((others or [family])[0].module)
    found = {
        "image": made.with_image is not None,
        "refine": hasattr(second, "make_refiner"),
        "preview_decoder": "preview_decoder" in module.Options._fields,
    }
    told = set(family.abilities) - {SHARE}  # which tests on several devices show
    assert told == {ability for ability, can in found.items() if can}
    assert avits.generators.abilities(family.name) == set(family.abilities)
