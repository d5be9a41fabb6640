"""The entry point: help, version, listing, interruption, and what a full disk does."""

import _thread
import errno
import os
import threading
import time

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from avits_jax import media
from avits_jax.cli import background, compiled, main, program
from avits_jax.cli.entry import command_names
from avits_jax.version import __version__

PROMPT = "a red circle"


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"avits_jax {__version__}\n"
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in command_names())
    assert main([]) == 2


@pytest.mark.parametrize("name", command_names())
def test_every_command_has_help_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"example:\n  avits {name}" in capsys.readouterr().out


def test_generate_help_shows_defaults(capsys):
    assert main(["generate", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "--num-candidates" in printed and "(default: 16)" in printed


def test_list_names_models_verifiers_and_presets(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for word in ("javisdit-tiny", "clap", "no weights needed", "mini-fast", "shift"):
        assert word in printed


def test_list_says_what_is_missing_and_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AVITS_CHECKPOINTS", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "shipped weights: present (Apache-2.0)" in printed
    assert "imagebind weights: missing (CC BY-NC-SA 4.0)" in printed
    assert printed.count("non-commercial use only") == 2
    command = "avits convert imagebind --source FOLDER --out "
    assert printed.count(command) == 1
    assert "imagebind_huge.pth of facebookresearch/ImageBind (4.8 GB" in printed
    assert printed.count("javis_score") == 1


def test_full_disk_leaves_nothing(
    toy_backend, toy_flags, tmp_path, capsys, monkeypatch
):
    def full(path, *args, **rates):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(media, "write_clip", full)
    assert main(["generate", PROMPT, *toy_flags, "--out", "runs/new/run"]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("avits: error: No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_compiling(toy_backend, toy_flags, tmp_path, capsys, monkeypatch):
    release, statuses = threading.Event(), []

    def endless(*args):
        threading.Timer(0.2, _thread.interrupt_main).start()
        background.run(release.wait)

    monkeypatch.setattr(program, "run_search", endless)
    monkeypatch.setattr(os, "_exit", statuses.append)
    try:
        assert main(["generate", PROMPT, *toy_flags, "--out", "run"]) == 130
        assert background.busy() and statuses == [130]
    finally:
        release.set()
    assert capsys.readouterr().err.splitlines()[-1].startswith("avits: error: interr")
    assert list(tmp_path.iterdir()) == []
    deadline = time.monotonic() + 5
    while background.busy() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not background.busy()


def test_background_returns_and_raises():
    assert background.run(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        background.run(lambda: 1 / 0)


@pytest.fixture
def cache_config():
    """Put JAX's compilation cache back as it was."""
    names = [
        "jax_enable_compilation_cache",
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    ]
    before = {name: getattr(jax.config, name) for name in names}
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_compiled_programs_are_kept(
    toy_backend, no_pictures, toy_flags, tmp_path, monkeypatch, cache_config
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert main(["generate", PROMPT, *toy_flags, "--out", "without"]) == 0
    assert not (tmp_path / "cache").exists()
    flags = [flag for flag in toy_flags if flag != "--no-compilation-cache"]
    assert main(["generate", PROMPT, *flags, "--out", "with"]) == 0
    kept = list((tmp_path / "cache" / "avits_jax" / "xla").iterdir())
    assert [path for path in kept if "avits_search" in path.name]


def test_too_little_memory_is_said_plainly():
    error = compiled.too_large(RuntimeError("RESOURCE_EXHAUSTED: 80 GiB"))
    assert "--candidate-batch" in str(error)
    other = RuntimeError("INTERNAL")
    assert compiled.too_large(other) is other
