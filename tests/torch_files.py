"""Write files as torch.save does, without torch."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager

import ml_dtypes
import numpy as np

STORAGES = {
    np.dtype(np.float64): "DoubleStorage",
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype(np.int64): "LongStorage",
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """Numbers of one or several tensors."""

    def __init__(self, array):
        self.array = np.ascontiguousarray(array).reshape(-1)


class Tensor:
    """A view of a storage, pickled as torch pickles a tensor."""

    def __init__(self, array, storage=None, offset=0, strides=None, parameter=False):
        array = np.asarray(array)
        self.storage = storage or Storage(array)
        self.offset, self.shape, self.parameter = offset, array.shape, parameter
        steps = np.asarray(array, order="C").strides
        self.strides = strides or tuple(step // array.itemsize for step in steps)

    def __reduce__(self):
        arguments = (self.storage, self.offset, self.shape, self.strides, False, None)
        modules = sys.modules["torch._utils"]
        if not self.parameter:
            return modules._rebuild_tensor_v2, arguments
        plain = Tensor(np.zeros(self.shape), self.storage, self.offset, self.strides)
        return modules._rebuild_parameter, (plain, True, OrderedDict())


@contextmanager
def torch_names():
    """Modules under torch's names for as long as something is pickled."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield torch
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def dump(tree, stream, legacy=False):
    """Pickle a tree and return its storages by key."""
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            known = [k for k, v in storages.items() if v is value]
            key = known[0] if known else str(len(storages))
            storages[key] = value
            kind = getattr(sys.modules["torch"], STORAGES[value.array.dtype])
            view = (None,) if legacy else ()
            return ("storage", kind, key, "cpu", value.array.size, *view)

    with torch_names():
        Pickler(stream, protocol=2).dump(tree)
    return storages


def write_torch(path, tree):
    """A zip archive, as torch has written them since 1.6."""
    stream = io.BytesIO()
    storages = dump(tree, stream)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/data.pkl", stream.getvalue())
        archive.writestr(f"{path.stem}/byteorder", "little")
        for key, storage in storages.items():
            archive.writestr(f"{path.stem}/data/{key}", storage.array.tobytes())
        archive.writestr(f"{path.stem}/version", "3\n")


def write_legacy(path, tree):
    """One stream, as torch wrote them before."""
    with path.open("wb") as stream:
        for value in (LEGACY_MAGIC, 1001, {"little_endian": True}):
            pickle.dump(value, stream, protocol=2)
        storages = dump(tree, stream, legacy=True)
        pickle.dump(list(storages), stream, protocol=2)
        for storage in storages.values():
            stream.write(np.int64(storage.array.size).tobytes())
            stream.write(storage.array.tobytes())


def tensors(state):
    """A state dict of numpy arrays as one of tensors."""
    return OrderedDict((key, Tensor(value)) for key, value in state.items())
