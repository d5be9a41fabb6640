"""Configs and flags that others wrote: one line that says what is accepted."""

import os
import random
import sys

import pytest

from avits_jax.cli import main
from avits_jax.cli.errors import CliError, printable
from avits_jax.cli.options import RunOptions
from avits_jax.cli.parsing import parse


def options(*flags, config=None):
    flags = [*flags, *(["--config", str(config)] if config else [])]
    return parse(RunOptions, "avits run", ["p.txt", "--out", "o", *flags])


@pytest.fixture
def config(tmp_path):
    def write(data):
        path = tmp_path / "c.toml"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def test_a_byte_order_mark_is_passed_over(config):
    path = config(b"\xef\xbb\xbfsteps = 6\nrandom_weights = true\n")
    assert options(config=path).steps == 6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("num-candidates = 4\nnum_candidates = 5", "sets 'num_candidates' twice"),
        ("seed = 1\nseed = 2", "is not TOML"),
        ("seed = " + "9" * 5000, "is not TOML"),
        ("seed = " + "[" * 5000, "is nested too deeply"),
        (b"seed = 1 # \xe9", "cannot be read"),
        ('"a\\u001b[31m" = 1', r"unknown key 'a\x1b[31m'"),
    ],
)
def test_configs_are_refused_in_one_line(config, data, message):
    with pytest.raises(CliError) as caught:
        options(config=config(data))
    assert message in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("flag", ["random_weights", "compilation_cache", "pod"])
@pytest.mark.parametrize("value", [True, False])
def test_a_switch_of_the_config_can_be_given_again(config, flag, value):
    path = config(f"{flag} = {str(value).lower()}")
    name = flag.replace("_", "-")
    assert getattr(options(config=path), flag) is value
    assert getattr(options(f"--{name}", config=path), flag) is True
    assert getattr(options(f"--no-{name}", config=path), flag) is False


@pytest.mark.parametrize(
    "flags",
    [
        ["--verifiers", "a,b,c"],
        ["--verifiers", "a, b ,c"],
        ["--verifiers", "a", "--seed", "3", "--verifiers", "b", "c"],
        ["--verifiers=a", "--seed", "3", "--verifiers", "b,c"],
        ["--verifiers", "a", "--verifiers=b", "--verifiers=c"],
    ],
)
def test_a_list_may_be_given_in_parts(flags):
    assert options(*flags).verifiers == ("a", "b", "c")


def test_parts_of_lists_of_numbers_and_of_a_config(config):
    found = options("--weights", "1", "-2", "--prior_mean", "5", "--weights", "3")
    assert found.weights == (1.0, -2.0, 3.0) and found.prior_mean == (5.0,)
    path = config('verifiers = ["x"]')
    assert options("--verifiers", "a", config=path).verifiers == ("a",)


@pytest.mark.parametrize("flag", ["PROMPTS", "--out", "--column"])
def test_names_that_are_no_text_are_refused_before_work(
    tmp_path, monkeypatch, capsys, flag
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("a red circle\n")
    name = os.fsdecode(b"caf\xe9.txt")
    command = ["run", name if flag == "PROMPTS" else "p.txt", "--out", "o"]
    command += [] if flag == "PROMPTS" else [flag, name]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert r"'caf\udce9.txt' is not UTF-8; rename it" in line
    assert os.listdir() == ["p.txt"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.csv", "\x1b]0;x\x07,\x9b31m\na,b\n"),
        ("p.jsonl", '{"\\u001b]0;x\\u0007": 1, "\\u202e": 2}\n'),
    ],
)
def test_terminal_codes_of_keys_are_shown_not_obeyed(
    tmp_path, monkeypatch, capsys, name, data
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(data, "utf-8")
    assert main(["run", name, "--out", "o"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert r"\x1b]0;x\x07" in line and line.isprintable()


def test_long_messages_are_cut():
    assert len(printable("x" * 10**6)) < 2100
    assert (
        printable("caf\u00e9 \u8d64\u202e\n\ud800")
        == "caf\u00e9 \u8d64\\u202e\\n\\ud800"
    )


SEED = (
    'search = "smc"\nsteps = 6\nrandom-weights = true\nverifiers = ["a", "b"]\n'
    "weights = [1, 2.5]\nguidance_scale = 2.0\nresample_steps = [1, 2]\n"
    '[set]\nshift = 3.0\n"num-frames" = 17\n'
)
SPICE = ['"', "=", "\n", "[", "]", "{", "nan", "inf", "-", "9" * 5000, "[" * 3000]
SPICE += ["\ufeff", "\x00", "\x1b", "true", "1979-05-27", "'''", ".a.b", "seed", "set"]


@pytest.mark.parametrize(
    "count", [100, pytest.param(2000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_mutants_of_a_config_are_read_or_refused(config, count):
    from avits_jax.cli.config import read_config

    chance, read = random.Random(0), 0
    for _ in range(count):
        text = SEED
        for _ in range(chance.randint(1, 3)):
            start = chance.randrange(len(text))
            end = start + chance.randint(0, 6)
            text = text[:start] + chance.choice([*SPICE, ""]) + text[end:]
        try:
            read_config(str(config(text)), RunOptions)
            read += 1
        except CliError as error:
            assert str(error).isprintable()
    assert 0 < read < count


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_any_name_can_be_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", os.fsdecode(b"caf\xe9")]) == 2
    assert "caf" in capsys.readouterr().err
