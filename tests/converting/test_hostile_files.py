"""The table of hostile weight files: path, exit status, message, memory."""

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from goldens import golden_cases
from safetensors.numpy import save_file

from avits_jax.weights.config import config_values
from tools.parity import clap

ROOT = Path(__file__).parents[2]
MOST_MEGABYTES = 200
# Runs the command on one file after the other, and says what each took.
PROGRAM = """
import io, json, resource, sys
from contextlib import redirect_stderr
from avits_jax.cli import main
from avits_jax.converting.models import find_model

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

find_model("clap").parts[0].build(find_model("clap").parts[0].config)
out, sizes, *sources = sys.argv[1:]
flags = ["--out", out, "--sizes", sizes]
for source in sources:
    before, errors = peak(), io.StringIO()
    with redirect_stderr(errors):
        rc = main(["convert", "clap", *flags, "--source", source])
    print(json.dumps([rc, errors.getvalue(), peak() - before]))
"""


def pickled(data, version=b"3"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/version", version)
    return stream.getvalue()


def renumbered(state, number):
    """A key with another number of its layer."""
    key = next(key for key in state if ".layer.0." in key)
    return {
        k if k != key else k.replace(".0.", f".{number}.", 1): state[k] for k in state
    }


TABLE = {
    "memo.pt": "no state dict",
    "laughs.pt": "no state dict",
    "code.pt": "names 'os.system', no tensor",
    "empty.pt": "damaged",
    "version.pt": "its version is b'99'",
    "layers.safetensors": "unused: .*300000000",
    "terminal.safetensors": r"unused: x\\x1b\[2J",
    "axes.safetensors": "more than 64 axes",
    "deep.safetensors": "no safetensors file",
    "itself/model.safetensors.index.json": "an index, as a shard",
    "deep/model.safetensors.index.json": "nested too deeply",
    "none.pt": "does not exist",
}


def write_files(folder, state):
    """Every file of the table, made here: they are small."""
    (folder / "memo.pt").write_bytes(pickled(b"\x80\x02Nr\xff\xff\xff\x1f."))
    laughs = b"\x80\x02]q\x00" + b"]q\x01(" + b"h\x00" * 10 + b"e" + b"h\x01a" * 10
    (folder / "laughs.pt").write_bytes(pickled(laughs + b"."))
    (folder / "code.pt").write_bytes(pickled(b"\x80\x02cos\nsystem\n)R."))
    (folder / "empty.pt").write_bytes(b"")
    (folder / "version.pt").write_bytes(pickled(b"\x80\x02N.", b"99"))
    save_file(renumbered(state, 300_000_000), folder / "layers.safetensors")
    save_file(state | {"x\x1b[2J": np.ones(1)}, folder / "terminal.safetensors")
    tensor = {"dtype": "F32", "shape": [1] * 400_000, "data_offsets": [0, 4]}
    for name, text in (("axes", json.dumps({"a": tensor})), ("deep", "[" * 200_000)):
        header = len(text).to_bytes(8, "little") + text.encode()
        (folder / f"{name}.safetensors").write_bytes(header + bytes(4))
    for name, text in (
        ("itself", '{"weight_map": {"a": "model.safetensors.index.json"}}'),
        ("deep", "[" * 200_000),
    ):
        (folder / name).mkdir()
        (folder / name / "model.safetensors.index.json").write_text(text)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Status, message and growth of memory of every file, all in one process."""
    folder = tmp_path_factory.mktemp("hostile")
    (golden,) = (case.values[0] for case in golden_cases("verifiers", "clap_tiny"))
    write_files(folder, dict(golden.weights))
    sizes = folder / "sizes.json"
    sizes.write_text(json.dumps(config_values(clap.config_of(golden.info))))
    before = {path for path in folder.rglob("*")}
    arguments = [folder / "out", sizes, *(folder / name for name in TABLE)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert {path for path in folder.rglob("*")} == before  # nothing is written
    lines = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "["]
    return dict(zip(TABLE, lines, strict=True))


@pytest.mark.parametrize("name", TABLE)
def test_a_hostile_file_ends_in_one_line(found, name):
    status, message, megabytes = found[name]
    assert status == 2 and megabytes < MOST_MEGABYTES
    assert message.startswith("avits: error: ") and message.count("\n") == 1
    assert message.rstrip("\n").isprintable()
    assert re.search(TABLE[name], message)
