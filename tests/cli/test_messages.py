"""What is said of slips of the keyboard: the remedy, last, in the terminal's width."""

import pytest

from avits_jax.cli import main, wrapping
from avits_jax.mini_world.grammar import parse as parse_prompt


@pytest.fixture
def said(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and list(tmp_path.glob("runs")) == []
        (line,) = printed.err.splitlines()
        return line.removeprefix("avits: error: ")

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "red", "circle", "bounces"],
        ["--seed", "3", "a", "red", "circle", "bounces", "--no-compilation-cache"],
        ["a", "red", "--weights", "1", "-2", "--force", "circle", "bounces"],
        ["--num_candidates=4", "a red", "circle bounces"],
    ],
)
def test_a_prompt_without_quotes(said, arguments):
    count = 2 if "a red" in arguments else 4
    assert said("generate", *arguments) == (
        f"the prompt is {count} arguments; quote the prompt: "
        'avits generate "a red circle bounces"'
    )


def test_a_prompt_that_holds_quotes(said):
    assert said("generate", 'a "red"', "circle").endswith("""'a "red" circle'""")


def test_a_prompt_without_quotes_behind_clips(said, tmp_path):
    (tmp_path / "a.mp4").touch()
    assert said("verify", "a.mp4", "b.mp4", "a", "red", "circle") == (
        'a is no clip; quote the prompt: avits verify a.mp4 b.mp4 "a red circle"'
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "p", "--out", "o", "--num-candidate", "3"], "; did you mean '--num-"),
        (["generate", "x", "--Seed=3"], "unknown option '--Seed'; did you mean '--se"),
        (["list", "--nonsense"], "unknown option '--nonsense'; see avits list --help"),
        (["report", "a", "b"], "Unrecognized options: b; see avits report --help"),
        (["merge", "a"], "; see avits merge --help"),
    ],
)
def test_unknown_and_missing_arguments(said, arguments, message):
    assert message in said(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["genrate"],
        ["generate", "x", "--aggregator", "awr"],
        ["generate", "x", "--config", "mini-fsat"],
        ["generate", "x", "--num-candidate", "3"],
    ],
)
def test_the_remedy_is_last(said, arguments):
    message = said(*arguments)
    assert message.rpartition("; ")[2].startswith("did you mean ")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a red circel bounces", "circel (did you mean 'circle'?)."),
        ("a scarlett bal jumps", "scarlett (did you mean 'scarlet'?), bal (did you"),
        ("a red xyzzy bounces", "know: xyzzy. mini understands"),
    ],
)
def test_the_nearest_word_of_mini(prompt, words):
    with pytest.raises(ValueError, match="has words mini does not know") as caught:
        parse_prompt(prompt)
    assert words in str(caught.value)


def test_the_nearest_word_at_the_command_line(said):
    assert "did you mean 'circle'?" in said("generate", "a red circel bounces")


def test_errors_are_wrapped_on_a_terminal_alone(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["generate", "x", "--aggregator", "awr"]) == 2
    piped = capsys.readouterr().err
    assert piped.count("\n") == 1
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["generate", "x", "--aggregator", "awr"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2 and all(len(line) <= 50 for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == piped.strip()


def test_what_is_to_be_copied_is_not_broken():
    path = "/".join(["a-long-folder"] * 8)
    lines = wrapping.message(f"fetch --out {path}", on_terminal=True).splitlines()
    assert lines == ["fetch --out", f"  {path}"]


def test_a_switch_takes_no_value(said):
    found = said("generate", "a red circle", "--keep-candidates", "all")
    assert found.startswith("--keep-candidates takes no value, got 'all'")


def test_numbers_and_flags_that_are_missing_are_said_plainly(said):
    found = said("generate", "a red circle", "--num-candidates", "four")
    assert "must be a whole number, got 'four'" in found
    assert said("run", "p.txt").startswith("--out FOLDER is missing; see avits run")
