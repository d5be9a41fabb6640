"""What installs: version, data folders, and a wheel that carries all of it."""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from goldens import golden_cases
from safetensors.numpy import save_file

from avits_jax.files import resources
from avits_jax.version import __version__
from avits_jax.weights import checkpoint
from avits_jax.weights.config import config_values
from tools.parity import clap

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-q", "-w", str(folder), str(ROOT)], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_code_and_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert f"avits_jax-{__version__}" in wheel.name
    for needed in ("py.typed", "cli/commands/generate.py", "_data/configs/mini.toml"):
        assert f"avits_jax/{needed}" in names
    assert [n for n in names if n.startswith("avits_jax/report/templates/")]
    assert [n for n in names if n.endswith(".dist-info/licenses/LICENSE")]
    assert not [n for n in names if n.startswith(("tests/", "tools/"))]
    for kind in ("configs", "checkpoints/mini"):
        files = [p for p in (ROOT / kind).rglob("*") if p.is_file()]
        assert files
        for file in files:
            assert f"avits_jax/_data/{file.relative_to(ROOT).as_posix()}" in names


def test_wheel_finds_its_data_wherever_it_lies(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import avits_jax.cli.config as c, avits_jax.files.resources as r;"
        "print(r.__file__, r.data_folder('checkpoints'), ','.join(c.presets()))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "site"), "JAX_PLATFORMS": "cpu"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert printed[0].startswith(str(tmp_path / "site"))
    assert printed[1] == str(tmp_path / "site" / "avits_jax/_data/checkpoints")
    assert "mini-fast" in printed[2].split(",")


def test_wheel_converts(wheel, tmp_path):
    site, source, out = (tmp_path / name for name in ("site", "source", "out"))
    zipfile.ZipFile(wheel).extractall(site)
    (golden,) = (case.values[0] for case in golden_cases("verifiers", "clap_tiny"))
    source.mkdir()
    save_file(golden.weights, source / "model.safetensors")
    sizes = tmp_path / "sizes.json"
    sizes.write_text(json.dumps(config_values(clap.config_of(golden.info))))
    code = (
        "import sys; from avits_jax import cli;"
        "sys.modules['tools'] = None;"  # it cannot be imported
        "print(cli.__file__); status = cli.main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    flags = ["--source", source, "--out", out, "--sizes", sizes]
    printed = subprocess.run(
        [sys.executable, "-c", code, "convert", "clap", *map(str, flags)],
        env={"PYTHONPATH": str(site)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.startswith(str(site)) and f"wrote      {out}" in printed
    assert checkpoint.load(out).metadata["model"] == "clap"


def test_checkout_finds_its_data():
    assert resources.data_folder("configs") == ROOT / "configs"
    with pytest.raises(FileNotFoundError, match="install avits_jax again"):
        resources.data_folder("nothing")


def test_constraints_pin_what_is_required_and_name_no_host():
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(pin.count("==") == 1 and "/" not in pin for pin in pins)
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = project["dependencies"] + project["optional-dependencies"]["test"]
    assert {r.split(">")[0].lower() for r in required} <= pinned


def test_shipped_weights_are_small():
    files = [p for p in (ROOT / "checkpoints").rglob("*") if p.is_file()]
    assert 0 < sum(p.stat().st_size for p in files) <= 20e6
