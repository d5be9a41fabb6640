"""Peak memory of LTX-2.3's conversion at full size, one network at a time.

Sources are sparse: their headers are real, and every eighth tensor has random numbers,
so that they fit on small disks.
"""

import json
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from ltx2_files import gemma, single_file

LIMIT = 4e9
_RANDOM = 8  # of so many tensors one has numbers
_WIDTH = 2  # bytes of a number
_BLOCK = 2**22  # numbers drawn at once
SCRIPT = """
import resource, sys, time
from pathlib import Path
part, source, out, dtype, *loras = sys.argv[1:]
from avits_jax.converting import conversion
from avits_jax.converting.files import LoraFile
from avits_jax.converting.models import find_model
start = time.perf_counter()
model = find_model("ltx-2.3")
one = tuple(each for each in model.parts if each.name == part)
model = model._replace(parts=one)
loras = [LoraFile(Path(file)) for file in loras]
ready = conversion.prepare(model, Path(source), dtype=dtype, loras=loras)
conversion.convert(model, ready, Path(out), loras=loras)
seconds = time.perf_counter() - start
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, seconds)
"""


def write_sparse(path, shapes):
    """A safetensors file in bfloat16 that takes an eighth of its size on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    header, end, filled = {}, 0, []
    for i, (key, shape) in enumerate(shapes.items()):
        start, end = end, end + _WIDTH * int(np.prod(shape))
        offsets = [start, end]
        header[key] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
        if i % _RANDOM == 0:
            filled.append(offsets)
    text = json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        data = stream.tell()
        for start, stop in filled:
            stream.seek(data + start)
            for left in range((stop - start) // _WIDTH, 0, -_BLOCK):
                # Never the same numbers twice: a checkpoint that is far smaller than
                # its arrays is refused.
                block = rng.standard_normal(min(left, _BLOCK), np.float32)
                stream.write(block.astype(ml_dtypes.bfloat16).tobytes())
        os.truncate(stream.fileno(), data + end)


def spread(shapes):
    """Keys in another order, so that large and small tensors take turns."""
    order = np.random.default_rng(0).permutation(len(shapes))
    items = list(shapes.items())
    return dict(items[i] for i in order)


def lora_shapes(shapes, rank=384):
    """A LoRA of every matrix of the blocks, as the distilled one has it."""
    found = {}
    for key, shape in shapes.items():
        if key.startswith("model.diffusion_model.transformer_") and len(shape) == 2:
            module = key.removeprefix("model.").removesuffix(".weight")
            if module != key.removeprefix("model."):
                found[f"{module}.lora_A.weight"] = (rank, shape[1])
                found[f"{module}.lora_B.weight"] = (shape[0], rank)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "dtype"),
    [("transformer", "bfloat16"), ("transformer", "float8"), ("text", "bfloat16")],
)
def test_a_network_converts_in_bounded_memory(tmp_path, part, dtype):
    shapes, loras = single_file("2.3"), []
    source, out = tmp_path / "ltx-2.3-22b-dev.safetensors", tmp_path / "out"
    connectors = "embeddings_connector", "text_embedding_projection"
    if part == "text":
        own = {k: s for k, s in shapes.items() if any(x in k for x in connectors)}
        tower = {f"language_model.model.{key}": s for key, s in gemma().items()}
        write_sparse(tmp_path / "gemma" / "model.safetensors", spread(tower))
    else:
        own = {k: s for k, s in shapes.items() if k.startswith("model.")}
        own = {k: s for k, s in own.items() if connectors[0] not in k}
        if dtype == "float8":
            loras = [tmp_path / "distilled-lora.safetensors"]
            write_sparse(loras[0], lora_shapes(own))
    write_sparse(source, spread(own))
    flags = [part, source, out, dtype, *loras]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, flags)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    peak, seconds = map(float, done.stdout.split()[-2:])
    manifest = json.loads((out / part / "manifest.json").read_text())
    written = manifest["total_bytes"]
    print(f"{part}: {written / 1e9:.1f} GB, peak {peak / 1e9:.2f} GB, {seconds:.0f} s")
    assert peak < LIMIT
    numbers = sum(int(np.prod(leaf["shape"])) for leaf in manifest["leaves"])
    assert numbers > {"transformer": 18.9e9, "text": 14.9e9}[part]
    subprocess.run(["rm", "-r", out, source], check=True)
