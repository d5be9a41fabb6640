"""Config files: what is written reads back, and every preset makes sense."""

import dataclasses
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avits_jax.cli.aggregators import choose_aggregator
from avits_jax.cli.checks import check_search
from avits_jax.cli.commands.generate import Options
from avits_jax.cli.config import presets, read_config, set_fields, write_config
from avits_jax.cli.parsing import parse

# TOML holds any character but surrogates.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
number = st.floats(allow_nan=False, allow_infinity=False)
value = st.one_of(text, number, st.integers(-(2**62), 2**62), st.booleans())


@given(st.dictionaries(st.sampled_from("abcdef"), value | st.lists(value, max_size=4)))
def test_written_toml_reads_back(values):
    assert tomllib.loads(write_config(values)) == values


@pytest.mark.parametrize("name", presets())
def test_presets_make_sense(name):
    options = parse(Options, "avits", ["a circle", "--config", name])
    check_search(options)
    assert choose_aggregator(options).name == options.aggregator


def test_options_survive_a_config_file(tmp_path):
    flags = ["--seed", "3", "--weights", "1,2,3.5", "--guidance-scale", "2"]
    options = parse(Options, "avits", ["a circle", *flags])
    path = tmp_path / "config.toml"
    path.write_text(write_config(set_fields(options)))
    assert parse(Options, "avits", [f"--config={path}"]) == dataclasses.replace(
        options, config=str(path)
    )
    read = read_config(str(path), Options)
    assert read["weights"] == (1.0, 2.0, 3.5) and read["guidance_scale"] == 2.0
