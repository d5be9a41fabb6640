"""Random weight files as large as the published ones, written block by block."""

import io
import json
import zipfile

import ml_dtypes
import numpy as np
from torch_files import Storage, Tensor, dump

DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float32": np.dtype(np.float32)}
_NAMES = {"bfloat16": "BF16", "float32": "F32"}
_BLOCK = 2**22


def write_random(folder, shapes, dtype, shards=4):
    """Sharded safetensors of random numbers, one block in memory."""
    block = _random_block(DTYPES[dtype])
    folder.mkdir(parents=True, exist_ok=True)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard}.safetensors"
        header, end = {}, 0
        for key in list(shapes)[shard::shards]:
            start, weight_map[key] = end, file
            end += int(np.prod(shapes[key])) * DTYPES[dtype].itemsize
            offsets = [start, end]
            header[key] = {
                "dtype": _NAMES[dtype],
                "shape": shapes[key],
                "data_offsets": offsets,
            }
        text = json.dumps(header).encode()
        with (folder / file).open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            _fill(stream, block, end)
    index = {"weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_random_torch(path, shapes, dtype):
    """The zip archive that torch.save writes, of random numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = _random_block(DTYPES[dtype])
    stream = io.BytesIO()
    tree = {key: _hollow(shape, DTYPES[dtype]) for key, shape in shapes.items()}
    storages = dump(tree, stream)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, storage in storages.items():
            with archive.open(f"archive/data/{key}", "w", force_zip64=True) as entry:
                _fill(entry, block, storage.array.nbytes)


def _random_block(dtype):
    return np.random.default_rng(0).normal(size=_BLOCK).astype(dtype).tobytes()


def _fill(stream, block, size):
    for start in range(0, size, len(block)):
        stream.write(block[: size - start])


def _hollow(shape, dtype):
    """A tensor whose storage takes no memory."""
    storage, tensor = object.__new__(Storage), object.__new__(Tensor)
    storage.array = np.broadcast_to(np.zeros((), dtype), (int(np.prod(shape)),))
    tensor.storage, tensor.offset, tensor.shape = storage, 0, tuple(shape)
    tensor.parameter = False
    tensor.strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    return tensor
