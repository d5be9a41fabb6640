"""Broken torch.save files from a seed, and what torch says of them.

``python tests/weights/torch_mutants.py`` writes the verdicts anew, with torch 2.13:
per mutant null where torch refuses it or finds no state dict, else a checksum of all
numbers. The two whole files that mutants are made of are stored beside them.
"""

import base64
import io
import json
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parents[1] / "golden" / "weights" / "torch_verdicts.json"
COUNT = 2600
WRAPPERS = ("state_dict", "model", "module")
_CODES = b"\x80.cNRbq(rtuseQ}])hKJMXGU\x85\x86\x87\x88\x89\x8a\x81\x8f\x93\x94\x95lod2i"


def stored():
    """The fixture, its whole files as bytes."""
    content = json.loads(FIXTURE.read_text("utf-8"))
    bases = {name: base64.b64decode(text) for name, text in content["bases"].items()}
    return bases, content["verdicts"]


def mutants(bases, count=COUNT):
    """Yield ``count`` broken files, the same for every call."""
    for number in range(count):
        rng = np.random.default_rng((14, number))
        base = bases["zip" if rng.random() < 0.7 else "legacy"]
        inside = base[:2] == b"PK" and rng.random() < 0.6
        yield _rewritten(rng, base) if inside else _changed(rng, base)


def _changed(rng, data):
    """Bytes changed, put in, taken out, moved, or cut off."""
    data, kind = bytearray(data), rng.integers(5)
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
    if kind == 0:
        data[at] = int(rng.integers(256))
    elif kind == 1:
        data[at:at] = rng.integers(256, size=length, dtype=np.uint8).tobytes()
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at] = int(rng.choice(list(_CODES)))
    else:
        del data[at:]
    return bytes(data)


def _rewritten(rng, data):
    """An archive in order, its checksums right, but for what one entry holds."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    at = 0 if rng.random() < 0.7 else int(rng.integers(len(entries)))
    content = _changed(rng, entries[at][1]) if entries[at][1] else b"x"
    entries[at] = entries[at][0], content
    if rng.random() < 0.1:
        del entries[int(rng.integers(len(entries)))]
    return packed(entries)


def packed(entries):
    """A zip archive of (ZipInfo or name, content), each with its checksum."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for entry, content in entries:
            name = entry if isinstance(entry, str) else entry.filename
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def checksum(arrays):
    """Of keys, shapes and numbers; every NaN counts alike."""
    found = 0
    for key in sorted(arrays):
        value = np.asarray(arrays[key]).astype(np.float64)
        value = np.where(np.isnan(value), np.nan, value)
        about = f"{key!a}{value.shape}".encode()
        found = zlib.crc32(about + value.tobytes(), found)
    return found


def torch_verdict(path):
    """What torch.load(weights_only=True) makes of a file."""
    import torch

    try:
        tree = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of any kind
        return None
    if not isinstance(tree, dict):
        return None
    for name in WRAPPERS:
        if isinstance(tree.get(name), dict):
            tree = tree[name]
            break
    kinds = (torch.Tensor, torch.nn.Parameter)
    whole = tree and all(
        isinstance(k, str) and isinstance(v, kinds) for k, v in tree.items()
    )
    if not whole:
        return None
    return checksum({k: v.detach().double().numpy() for k, v in tree.items()})


def torch_verdicts(bases, count=COUNT):
    """Verdicts of torch on all mutants."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        verdicts = []
        for mutant in mutants(bases, count):
            path.write_bytes(mutant)
            verdicts.append(torch_verdict(path))
    return verdicts


def _bases():
    """Whole files as torch itself writes them."""
    import torch

    storage = torch.arange(24, dtype=torch.float32)
    state = {
        "rows": storage[6:18].view(2, 6),
        "turned": storage.view(4, 6).t(),
        "half": torch.linspace(-2, 2, 5).to(torch.bfloat16),
        "small": torch.linspace(-1, 1, 3).half(),
        "steps": torch.tensor(7),
        "weight": torch.nn.Parameter(torch.ones(3, 2)),
        "none": torch.zeros(0, 3),
    }
    bases = {}
    for name in ("zip", "legacy"):
        stream = io.BytesIO()
        tree = {"epoch": 3, "state_dict": state, "note": ["x", None, 0.5, True]}
        torch.save(tree, stream, _use_new_zipfile_serialization=name == "zip")
        bases[name] = stream.getvalue()
    return bases


def main():
    """Write the fixture."""
    import torch

    bases = _bases()
    texts = {name: base64.b64encode(data).decode() for name, data in bases.items()}
    content = {
        "torch": torch.__version__.partition("+")[0],
        "bases": texts,
        "verdicts": torch_verdicts(bases),
    }
    FIXTURE.write_text(json.dumps(content) + "\n", encoding="utf-8")
    accepted = sum(verdict is not None for verdict in content["verdicts"])
    print(f"{len(content['verdicts'])} verdicts, {accepted} accepted", file=sys.stderr)


if __name__ == "__main__":
    main()
