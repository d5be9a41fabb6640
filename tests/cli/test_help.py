"""The help: flags in groups, true defaults, no line wider than the terminal."""

import dataclasses
import importlib
import inspect
import re

import pytest

from avits_jax import aggregation, search
from avits_jax.cli import main
from avits_jax.cli.aggregator_flags import AGGREGATOR_FLAGS, ARW_DEFAULTS
from avits_jax.cli.entry import command_names
from avits_jax.cli.flags import flags_of
from avits_jax.cli.options import GenerateOptions
from avits_jax.cli.policies import choose_policy
from avits_jax.cli.policy_defaults import FIXED, in_words
from avits_jax.cli.policy_flags import POLICY_FLAGS
from avits_jax.generators import shapes
from avits_jax.media.prompts import ENDINGS, TABLES


@pytest.fixture
def helped(capsys, monkeypatch):
    """The help of a command at some width, in one piece or by groups."""

    def run(name, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main([*name.split(), "--help"]) == 0
        return capsys.readouterr().out

    return run


def groups(text):
    """Return the flags of each group, and each flag's text in one line."""
    found, texts, flag = {}, {}, None
    for line in text.splitlines():
        if re.fullmatch(r"\S.*:", line):
            flags = found.setdefault(line[:-1], [])
            flag = None
        elif match := re.match(r"  --(\S+)(.*)", line):
            flag = match[1]
            flags.append(flag)
            texts[flag] = match[2]
        elif flag and line.startswith(" " * 28):
            texts[flag] += f" {line.strip()}"
    return found, texts


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("name", ["", *command_names()])
def test_no_line_is_wider_than_the_terminal(helped, name, columns):
    lines = helped(name, columns).splitlines()
    # A command line of the example is never broken, for it is to be copied.
    wide = [line for line in lines if len(line) > columns and "  avits " not in line]
    # Nor are names, for which text makes room.
    assert not [line for line in wide if " " in line.strip()]
    assert columns == 60 or not wide


@pytest.mark.parametrize("name", command_names())
def test_every_flag_stands_in_one_group(helped, name):
    options = importlib.import_module(f"avits_jax.cli.commands.{name}").Options
    found, _ = groups(helped(name))
    shown = [flag for flags in found.values() for flag in flags]
    fields = [flag for flag in flags_of(options) if flag.kind != "positional"]
    assert sorted(shown) == sorted(flag.written[2:] for flag in fields)
    assert "per-search" not in helped(name) and "(default: )" not in helped(name)


@pytest.mark.parametrize("name", ["generate", "run"])
def test_groups_are_by_search_aggregator_and_model(helped, name):
    found, _ = groups(helped(name))
    for choice, table in (("search", POLICY_FLAGS), ("aggregator", AGGREGATOR_FLAGS)):
        for value, flags in table.items():
            own = found.get(f"with --{choice} {value}", [])
            assert own == [flag.replace("_", "-") for flag in flags]
    assert {"model", "steps", "set", "dtype"} <= set(found["model"])
    assert found["search"] == ["search", "max-nfe"]


def test_defaults_of_searches_are_shown(helped):
    _, texts = groups(helped("run"))
    for flag in (flag for flags in POLICY_FLAGS.values() for flag in flags):
        assert texts[flag.replace("_", "-")].endswith(f"(default: {in_words(flag)})")
    for flag, value in ARW_DEFAULTS.items():
        assert texts[flag.replace("_", "-")].endswith(f"(default: {value})")
    assert in_words("num_iterations") == "2"
    assert in_words("resample_steps") == "1/4, 1/2, 3/4 of the steps"


def keywords(policy):
    """Return what a search is called with, its own defaults filled in."""
    signature = inspect.signature(policy.search.func)
    own = {n: p.default for n, p in signature.parameters.items() if n == "tolerance"}
    return own | policy.search.keywords


# Of 24 steps and 16 candidates, as the words have it.
SHARES = {
    "schedule": (0, 8),
    "populations": (6, 5, 5),
    "resample_steps": (6, 12, 18),
    "branch_steps": (6, 12),
    "rungs": ("6:8", "12:4"),
    "num_kept": 4,
}


@pytest.mark.parametrize("name", POLICY_FLAGS)
def test_the_defaults_that_are_shown_are_those_of_the_search(name):
    """A default that is given as a flag changes nothing."""
    generator = shapes("mini")[0]
    assert generator.num_steps == 24
    for flag in POLICY_FLAGS[name]:
        plain = GenerateOptions(prompt="x", search=name)
        given = dataclasses.replace(plain, **{flag: (FIXED | SHARES)[flag]})
        said, unsaid = (choose_policy(o, o, generator) for o in (given, plain))
        assert keywords(said) == keywords(unsaid) and said.cost == unsaid.cost


def test_the_searches_have_the_same_defaults_in_code():
    own = (search.EvoOptions, search.SMCOptions, search.BeamOptions)
    for made in (*(each() for each in own), search.ZeroOrderOptions()):
        for field in dataclasses.fields(made):
            if field.name in FIXED and field.name != "potential":
                assert FIXED[field.name] == getattr(made, field.name)
    assert search.SMCOptions().potential is search.difference_potential


def test_the_defaults_of_arw_are_those_of_its_factory():
    factory = inspect.signature(aggregation.arw).parameters
    shown = {AGGREGATOR_FLAGS["arw"][flag]: v for flag, v in ARW_DEFAULTS.items()}
    assert shown.pop("optimizer") == "closed_form"  # chosen for single prompts
    assert shown == {name: factory[name].default for name in shown}


def test_switches_say_which_way_they_stand(helped):
    text = " ".join(helped("run").split())
    assert (
        "--compilation-cache / --no-compilation-cache Keep compiled programs for the "
        "next run, and use those that were kept. (default: --compilation-cache)"
    ) in text
    assert "--pod Join the other hosts" in text and "--no-share-guidance." in text
    assert "--overwrite Replace" in " ".join(helped("convert").split())


def test_what_must_be_given_is_said(helped):
    assert helped("run").startswith("usage: avits run PROMPTS --out FOLDER [OPTIONS]\n")
    assert "Folder to write; or an address, gs:// or s3://." in helped("merge")


def test_all_endings_are_named(helped):
    text = " ".join(helped("run").split())
    said = text[text.index("a UTF-8 file ending in") :].split("(required)")[0]
    assert [*ENDINGS] == re.findall(r"\.[a-z]+", said)[: len(ENDINGS)]
    text = " ".join(helped("verify").split())
    assert f"a table ({', '.join(TABLES)}) of clips" in text


def test_help_is_help_wherever_it_stands(capsys):
    assert main(["generate", "a red circle", "--unknown", "-h"]) == 0
    assert "usage: avits generate PROMPT [OPTIONS]" in capsys.readouterr().out
