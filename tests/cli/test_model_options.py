"""Options of a model's own: --set, older flags, config files."""

import typing

import pytest

from avits_jax.cli.config import read_config
from avits_jax.cli.errors import CliError
from avits_jax.cli.model_options import (
    model_options,
    read_assignments,
    write_assignments,
)
from avits_jax.cli.options import GenerateOptions, ModelOptions
from avits_jax.cli.parsing import parse
from avits_jax.generators import Option, options

KNOWN = {
    "num_steps": Option(int | None, None, "steps"),
    "scale": Option(float, 1.0, "a factor"),
    "duration": Option(str | int | None, None, "of the clip"),
    "exact": Option(bool, False, "or rounded"),
    "mode": Option(typing.Literal["mended", "reference"], "mended", "a way"),
}


def chosen(*assignments, **flags):
    return model_options(ModelOptions(set=assignments, **flags), "toy", KNOWN)


def test_values_are_of_their_options_kinds():
    found = chosen("scale=2,exact=TRUE", "duration=33", "mode = reference", steps=3)
    expected = {"num_steps": 3, "scale": 2.0, "exact": True, "duration": 33}
    assert found == expected | {"mode": "reference"}
    assert type(found["scale"]) is float and type(found["duration"]) is int
    assert chosen(duration="4s") == chosen("duration=4s") == {"duration": "4s"}
    assert chosen() == {}


def test_assignments_are_written_in_one_way():
    assert read_assignments(["a=1,b-c=x=y", "a=2"]) == {"a": "2", "b_c": "x=y"}
    assert read_assignments(["a=dull, grey,b=1,"]) == {"a": "dull, grey", "b": "1"}
    ways = [("b=2,a=1",), ("a=3", "b=2", "a=1")]
    assert [write_assignments(way) for way in ways] == [("a=1", "b=2")] * 2


@pytest.mark.parametrize(
    ("assignments", "flags", "message"),
    [
        (
            ["scal=2"],
            {},
            "--set scal: toy has no option 'scal' (it has: num_steps, scale, duration, "
            "exact, mode); did you mean 'scale'?",
        ),
        ([], {"resolution": "240p"}, "--resolution: toy has no option 'resolution'"),
        ([], {"guidance_scale": 2.0}, "--guidance-scale: toy has no option"),
        (["num_steps=4"], {"steps": 4}, "--steps and --set num_steps are the same"),
        (["num_steps=4.5"], {}, "--set num_steps must be an integer, got '4.5'"),
        (["scale=x"], {}, "--set scale must be a number, got 'x'"),
        (["exact=1"], {}, "--set exact must be true or false, got '1'"),
        (["mode=m"], {}, "--set mode must be 'mended' or 'reference', got 'm'"),
        (["scale"], {}, "--set must be NAME=VALUE, got 'scale'"),
        (["=3"], {}, "--set must be NAME=VALUE, got '=3'"),
    ],
)
def test_what_a_model_does_not_take_is_refused(assignments, flags, message):
    with pytest.raises(CliError) as caught:
        chosen(*assignments, **flags)
    assert str(caught.value).startswith(message)


def test_models_state_their_options():
    assert list(options("mini")) == ["num_steps", "guidance_scale", "shift"]
    found = model_options(
        ModelOptions(set=("precision=reference",)),
        "javisdit-tiny",
        options("javisdit-tiny"),
    )
    assert found == {"precision": "reference"}
    quotes = ModelOptions(set=('negative_prompt=""',))
    found = model_options(quotes, "ltx-2.3-tiny", options("ltx-2.3-tiny"))
    assert found == {"negative_prompt": ""}


@pytest.mark.parametrize("text", ['set = ["a=1", "b=true"]', "[set]\na = 1\nb = true"])
def test_config_gives_a_list_or_a_table_that_flags_add_to(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert read_config(str(path), GenerateOptions)["set"] == ("a=1", "b=true")
    arguments = ["x", "--config", str(path), "--set", "b=false", "--set", "c=2"]
    found = parse(GenerateOptions, "avits generate", arguments).set
    assert read_assignments(found) == {"a": "1", "b": "false", "c": "2"}
