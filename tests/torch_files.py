"""Writes PyTorch's zip format without PyTorch, good files and hostile ones, for the tests of the reader.

Globals are written by name, so that nothing named in a file needs to exist here.
"""

import collections
import dataclasses
import io
import pickle
import zipfile
from typing import Any

import ml_dtypes
import numpy as np

KINDS = {
    np.dtype(np.float64): "DoubleStorage",
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype(np.int64): "LongStorage",
    np.dtype(np.int32): "IntStorage",
    np.dtype(np.int16): "ShortStorage",
    np.dtype(np.int8): "CharStorage",
    np.dtype(np.uint8): "ByteStorage",
    np.dtype(np.bool_): "BoolStorage",
}


@dataclasses.dataclass(frozen=True)
class Global:
    """An object that the file asks for by module and name."""

    module: str
    name: str

    def __call__(self):
        raise AssertionError("only the reader would call this")


@dataclasses.dataclass(eq=False)
class Call:
    """A call that the file asks for, and the state that it sets on the result."""

    function: Any
    arguments: tuple
    state: Any = None


@dataclasses.dataclass(eq=False)
class Storage:
    """The numbers of one or more tensors, [n]; ``count`` is what the file claims."""

    numbers: np.ndarray
    count: Any = None
    kind: Any = None


def tensor(storage, offset=0, size=None, stride=None):
    """A tensor of a storage; of an array, with a storage of its own."""
    if isinstance(storage, np.ndarray):
        array = np.ascontiguousarray(storage).reshape(storage.shape)
        size = array.shape
        stride = tuple(step // array.itemsize for step in array.strides)
        storage = Storage(array.ravel())
    arguments = (storage, offset, tuple(size), tuple(stride), False, collections.OrderedDict())
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


class _Pickler(pickle._Pickler):
    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = []

    def save(self, obj, *args, **options):
        if isinstance(obj, Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, *args, **options)

    def reducer_override(self, obj):
        if not isinstance(obj, Call):
            return NotImplemented
        return (obj.function, obj.arguments) if obj.state is None else (obj.function, obj.arguments, obj.state)

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj not in self.storages:
            self.storages.append(obj)
        kind = Global("torch", KINDS[obj.numbers.dtype]) if obj.kind is None else obj.kind
        count = obj.numbers.size if obj.count is None else obj.count
        return ("storage", kind, str(self.storages.index(obj)), "cpu", count)


def pickled(value):
    """The bytes of data.pkl, and the storages that it speaks of."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    return file.getvalue(), pickler.storages


def write_archive(path, data, storages=(), *, byteorder=b"little", prefix="archive/"):
    """Writes data.pkl and storages as a zip archive; returns the path."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{prefix}data.pkl", data)
        if byteorder is not None:
            archive.writestr(f"{prefix}byteorder", byteorder)
        for key, storage in enumerate(storages):
            archive.writestr(f"{prefix}data/{key}", storage.numbers.tobytes())
        archive.writestr(f"{prefix}version", "3\n")
    return path


def write_checkpoint(path, state, **options):
    """Writes a state dict, names to arrays or to what :func:`tensor` returns; returns the path."""
    if isinstance(state, dict):
        tensors = ((k, tensor(v) if isinstance(v, np.ndarray) else v) for k, v in state.items())
        state = collections.OrderedDict(tensors)
    return write_archive(path, *pickled(state), **options)


def write_legacy(path, value, *, little_endian=True):
    """Writes a file as PyTorch before 1.6 did: five pickles, then the storages; returns the path."""
    data, storages = pickled({k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in value.items()})
    facts = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    with open(path, "wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, facts):
            file.write(pickle.dumps(head, protocol=2))
        file.write(data.replace(b"K\x18tQ", b"K\x18NtQ"))  # the storage's view, of which there is none
        file.write(pickle.dumps([str(k) for k in range(len(storages))], protocol=2))
        for storage in storages:
            file.write(len(storage.numbers).to_bytes(8, "little") + storage.numbers.tobytes())
    return path
