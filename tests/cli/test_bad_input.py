"""Bad input: one clear line, exit status 2, nothing written, nothing compiled."""

import pytest

from avits_jax.cli import main, program

PROMPT = "a red circle"


@pytest.fixture
def refused(toy_backend, toy_flags, tmp_path, capsys, monkeypatch):
    """Run a command that must be refused; return its message."""

    def compiled(*args):
        raise AssertionError("compiled before the input was checked")

    monkeypatch.setattr(program, "run_search", compiled)

    def run(*arguments, command="generate"):
        before = sorted(tmp_path.rglob("*"))
        flags = toy_flags if command == "generate" else []
        assert main([command, *arguments, *flags]) == 2
        assert sorted(tmp_path.rglob("*")) == before
        printed = capsys.readouterr()
        errors = [line for line in printed.err.splitlines() if "Loaded" not in line]
        assert printed.out == "" and len(errors) == 1
        assert errors[0].startswith("avits: error: ")
        return errors[0].removeprefix("avits: error: ")

    return run


# Flags given twice: the later ones, of the fixture, would win over these.
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--aggregator", "awr"],
            "unknown aggregator 'awr' (there are: arw, minmax, rank, weighted, zscore, "
            "zscore_candidate, zscore_history); did you mean 'arw'?",
        ),
        (
            ["--optimizer", "adm"],
            "unknown optimiser 'adm' (there are: adagrad, adam, adamw, closed_form, "
            "lbfgs, rmsprop, sgd); did you mean 'adam'?",
        ),
        (["--candidate-batch", "0"], "--candidate-batch must be at least 1, got 0"),
        (["--steps", "-3"], "--steps must be at least 1, got -3"),
        (["--steps", "1001"], "--steps must be at most 1000, got 1001"),
        (["--steps", "3"], "num_steps must be 1, 2 or 4, got 3"),
        (["--seed", "-1"], "--seed must be 0 to 4294967295, got -1"),
        (["--guidance-scale", "nan"], "--guidance-scale must be a number"),
        (["--weights", "1"], "--weights must have one number per verifier: got 1 for"),
        (["--weights", "1,1,1"], "--weights must have one number per verifier: got 3"),
        (["--weights", "1", "nan"], "--weights must be numbers of at least 0"),
        (["--weights", "1", "-1"], "--weights must be numbers of at least 0"),
        (["--weights", "0", "0"], "--weights must not all be 0"),
        (["--weights", "x"], "Error parsing --weights"),
        (["--arw-steps", "0"], "--aggregator arw: num_steps must be at least 1"),
        (["--prior-mean", "1,1"], "--aggregator arw: prior_mean needs prior_std"),
        (["--center", "here"], "--aggregator arw: center must be one of"),
        (
            ["--aggregator", "rank", "--center", "prompt"],
            "--center is for --aggregator",
        ),
        (["--aggregator", "zscore"], "--aggregator zscore needs --mean and --std"),
        (["--config", "mini-fst"], "config 'mini-fst' is neither a file nor a preset"),
        (
            ["--num-candidate", "3"],
            "unknown option '--num-candidate'; did you mean '--num-candidates'?",
        ),
        (["--out", ""], "--out is empty"),
    ],
)
def test_flags(refused, flags, message):
    assert refused(PROMPT, *flags).startswith(message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num-candidates", "0"], "--num-candidates must be at least 1, got 0"),
        (["--num-candidates", "-4"], "--num-candidates must be at least 1, got -4"),
        (["--num-candidates", "many"], "Error parsing --num-candidates"),
        (
            ["--model", "toi"],
            "unknown model 'toi' (there are: toy); did you mean 'toy'?",
        ),
        (["--model", "out/toy"], "model out/toy: no such checkpoint folder"),
        (
            ["--verifiers", "red,gren"],
            "unknown verifier 'gren' (there are: red, green, blue, broken); "
            "did you mean 'green'?",
        ),
        (["--verifiers", "red", "red"], "--verifiers names 'red' twice"),
        (["--verifiers"], "--verifiers must name at least one verifier"),
    ],
)
def test_flags_in_place_of_the_toys(refused, toy_flags, flags, message):
    start = toy_flags.index(flags[0])
    toy_flags[start : start + 2] = flags
    assert refused(PROMPT).startswith(message)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt is empty"),
        (" \t ", "the prompt is empty"),
        ("red circle " * 1000, "the prompt has 11000 characters; at most 10000"),
        ("a red circle\nand more", "the prompt holds line breaks, control or"),
        ("a red circle \udcff", "the prompt holds line breaks, control or"),
        ("ein roter Kreis, größer 赤", "toy understands circles alone"),
    ],
)
def test_prompts(refused, prompt, message):
    assert refused(prompt).startswith(message)


def test_no_prompt(refused):
    assert refused().startswith("Missing from avits generate: PROMPT")


def test_out_that_is_a_file_or_below_one(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert refused(PROMPT, "--out", "file") == "--out file exists and is no folder"
    message = refused(PROMPT, "--out", "file/run")
    assert message.startswith("--out file/run cannot be written")


def test_folder_that_is_no_run_is_kept_even_with_force(refused, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("cat")
    assert "--force replaces it" in refused(PROMPT, "--out", "photos")
    message = refused(PROMPT, "--out", "photos", "--force")
    assert "not a run of avits" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_candidate = 3", "unknown key 'num_candidate'"),
        ("seed = 1.5", "seed in config.toml must be an integer, got 1.5"),
        ('weights = "equal"', "weights in config.toml must be a list of a number"),
        ("seed = ", "config file config.toml is not TOML"),
        ("config = 'other.toml'", "unknown key 'config'"),
        ("force = 1", "force in config.toml must be true or false, got 1"),
    ],
)
def test_configs(refused, tmp_path, text, message):
    (tmp_path / "config.toml").write_text(text)
    assert refused(PROMPT, "--config", "config.toml").startswith(message)


def test_unknown_command(capsys):
    assert main(["genrate", PROMPT]) == 2
    assert "did you mean 'generate'?" in capsys.readouterr().err


def test_report_of_what_is_no_run(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("empty", command="report")
    assert "absent" in refused("absent", command="report")
