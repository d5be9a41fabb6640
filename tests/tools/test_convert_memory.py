"""Peak memory of a conversion at full size, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30
MANIFEST = ROOT / "tests" / "golden" / "t5" / "manifest_t5_v1_1_xxl_encoder.json"
SCRIPT = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tools.converting.conversion import convert, prepare
from tools.converting.models import MODELS, Model, Source
from dataclasses import replace
model = MODELS["javisdit"]()
part = replace(model.networks["t5"], sources=(Source(),))
model = Model("t5", {{"": part}})
convert(model, prepare(model, Path({source!r}), dtype={dtype!r}), Path({out!r}))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def full_size_shapes():
    """Keys and shapes of the published T5-XXL encoder, its norms included."""
    listed = json.loads(MANIFEST.read_text())["state_dict"]
    shapes = {key: tuple(shape) for key, (shape, _) in listed.items()}
    names = [f"encoder.block.{i}.layer.{j}" for i in range(24) for j in (0, 1)]
    shapes |= {f"{name}.layer_norm.weight": (4096,) for name in names}
    return shapes | {"encoder.final_layer_norm.weight": (4096,)}


def write_random(folder, shapes, dtype, shards=4):
    """Random weights as sharded safetensors, never more than one block in memory."""
    name = {np.dtype(np.float32): "F32"}.get(np.dtype(dtype), "BF16")
    block = np.random.default_rng(0).normal(size=2**22).astype(dtype).tobytes()
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard}.safetensors"
        header, end = {}, 0
        for key in list(shapes)[shard::shards]:
            start, weight_map[key] = end, file
            end += int(np.prod(shapes[key])) * np.dtype(dtype).itemsize
            offsets = [start, end]
            header[key] = {"dtype": name, "shape": shapes[key], "data_offsets": offsets}
        text = json.dumps(header).encode()
        with (folder / file).open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            for start in range(0, end, len(block)):
                stream.write(block[: end - start])
    index = {"weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_t5_xxl_converts_in_bounded_memory(tmp_path, dtype):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32
    write_random(source, full_size_shapes(), kind)
    places = {"root": str(ROOT), "source": str(source), "out": str(out)}
    script = SCRIPT.format(**places, dtype=dtype)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    peak = int(done.stdout.split()[-1])
    print(f"T5-XXL in {dtype}: peak resident memory {peak / GIB:.2f} GiB")
    assert peak < 4 * GIB
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["total_bytes"] > 4.7e9 * np.dtype(kind).itemsize
