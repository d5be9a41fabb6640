"""Peak memory of conversions at full size, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from full_size_files import DTYPES, write_random, write_random_torch

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
LIMIT = 4e9
# One network of a model is converted as a model of its own.
SCRIPT = """
import resource, sys, time
from pathlib import Path
model, part, source, out, dtype = sys.argv[1:]
from avits_jax.converting.conversion import convert, prepare
from avits_jax.weights.model import Model, Source
from avits_jax.converting.models import find_model
start = time.perf_counter()
model = find_model(model)
if part:
    (one,) = (each for each in model.parts if each.name == part)
    model = Model(part, (one._replace(name="", sources=(Source(),)),))
convert(model, prepare(model, Path(source), dtype=dtype), Path(out))
seconds = time.perf_counter() - start
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, seconds)
"""


def listed_shapes(manifest):
    """Keys and shapes of a full-size state dict."""
    stated = json.loads((GOLDEN / manifest).read_text())
    listed = stated.get("tensors") or stated["state_dict"]
    return {key: tuple(shape) for key, (shape, _) in listed.items()}


def t5_shapes():
    """Those of the T5-XXL encoder, its norms included."""
    shapes = listed_shapes("t5/manifest_t5_v1_1_xxl_encoder.json")
    names = [f"encoder.block.{i}.layer.{j}" for i in range(24) for j in (0, 1)]
    shapes |= {f"{name}.layer_norm.weight": (4096,) for name in names}
    return shapes | {"encoder.final_layer_norm.weight": (4096,)}


def video_reward_parts(folder, shapes, dtype):
    """VideoReward as base model, other weights and adapter."""
    adapter = {k: v for k, v in shapes.items() if ".lora_" in k}
    rest = {k: v for k, v in shapes.items() if k not in adapter}
    plain = {
        k.replace("base_model.model.", "").replace(".base_layer", ""): v
        for k, v in rest.items()
    }
    base = {k: v for k, v in plain.items() if "rm_head" not in k}
    write_random(folder / "base", base, dtype)
    head = {k: v for k, v in rest.items() if "rm_head" in k}
    write_random_torch(folder / "non_lora_state_dict.pth", head, dtype)
    short = {k.replace(".default", ""): v for k, v in adapter.items()}
    write_random_torch(folder / "adapter_model.bin", short, dtype)
    stated = {"r": 64, "lora_alpha": 128}
    (folder / "adapter_config.json").write_text(json.dumps(stated))


def as_torch(folder, shapes, dtype):
    """One file of torch.save."""
    write_random_torch(folder / "model.pth", shapes, dtype)


CASES = {
    "t5-bfloat16": ("javisdit", "t5", t5_shapes, write_random),
    "t5-float32": ("javisdit", "t5", t5_shapes, write_random),
    "transformer-float32": (
        "javisdit",
        "transformer",
        lambda: listed_shapes("javisdit/manifest_vastdit3_xl2.json"),
        write_random,
    ),
    "imagebind-float32": (
        "imagebind",
        "",
        lambda: listed_shapes("verifiers/manifest_imagebind_huge.json"),
        as_torch,
    ),
    "video_reward_whole-float32": (
        "video-reward",
        "",
        lambda: listed_shapes("verifiers/manifest_videoreward_released_layout.json"),
        as_torch,
    ),
    "video_reward_parts-bfloat16": (
        "video-reward",
        "",
        lambda: listed_shapes("verifiers/manifest_videoreward_released_layout.json"),
        video_reward_parts,
    ),
    "vqa_score-bfloat16": (
        "vqa-score",
        "",
        lambda: listed_shapes("verifiers/manifest_clip_flant5_xxl.json"),
        write_random,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_full_size_converts_in_bounded_memory(tmp_path, case):
    model, part, shapes, write = CASES[case]
    source, out, dtype = tmp_path / "source", tmp_path / "out", case.split("-")[-1]
    shapes = shapes()
    write(source, shapes, dtype)
    places = [model, part, str(source), str(out), dtype]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *places],
        capture_output=True,
        text=True,
        check=True,
    )
    peak, seconds = map(float, done.stdout.split()[-2:])
    manifest = json.loads((out / "manifest.json").read_text())
    written = manifest["total_bytes"]
    print(f"{case}: {written / 1e9:.1f} GB, peak {peak / 1e9:.2f} GB, {seconds:.0f} s")
    assert peak < LIMIT
    assert written > 0.9e9 * DTYPES[dtype].itemsize
