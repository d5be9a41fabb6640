"""The toy command, in an empty working folder."""

import jax
import pytest
import toy_command

from avits_jax.cli import main


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Return a function that runs ``avits run`` over the toy; gives the exit status."""
    toy_command.install(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    enabled = jax.config.jax_enable_compilation_cache

    def run(out, *flags, prompts="prompts.txt"):
        usual = list(toy_command.FLAGS)
        if "--verifiers" in flags:  # a list that is given again would be longer
            place = usual.index("--verifiers")
            del usual[place : place + 2]
        return main(["run", prompts, "--out", out, *usual, *flags])

    (tmp_path / "prompts.txt").write_text("\n".join(toy_command.PROMPTS))
    yield run
    jax.config.update("jax_enable_compilation_cache", enabled)
