"""Reads PyTorch checkpoints without PyTorch and without running anything that they contain.

A ``.pth`` file is a zip archive: ``data.pkl`` describes the tensors, ``data/KEY`` holds their bytes. The unpickler
below knows tensors, ordered dicts and nothing else, so a file that asks for any other object is refused.
"""

import io
import math
import pickle
import struct
import zipfile
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np

_STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

_WRAPPERS = ("state_dict", "model_state_dict", "params")
"""Keys under which training scripts keep the state dict."""

_MOST_STORAGES = 2**16

_OTHER_OPCODES = b"".join([pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.INST, pickle.OBJ, pickle.NEWOBJ,
                           pickle.NEWOBJ_EX, pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER,
                           pickle.PERSID])  # fmt: skip

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of PyTorch before 1.6 begins: the pickled number 0x1950A86A20F9469CFC6C."""

_LARGEST_EXPANDED = 2**24
"""A tensor of stride 0 repeats its numbers, and tensors may share theirs, so a small file could ask for any amount of
memory. So many numbers beyond those of the file, no more."""

_LARGEST_PICKLE = 2**22
"""Bytes of data.pkl; the published checkpoints have under a hundred thousand."""


def read_state_dict(path):
    """Reads a state dict: names to arrays.

    Args:
      path: a file written by ``torch.save(module.state_dict(), path)``, of any version of PyTorch.

    Returns:
      A dict from names to NumPy arrays, in the file's order.

    Raises:
      ValueError: the file is damaged, is no checkpoint, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: expected a PyTorch checkpoint, got {'a folder' if path.is_dir() else 'no such file'}"
        )
    try:
        with open(path, "rb") as file:
            head = file.read(len(_LEGACY_MAGIC))
    except OSError as error:
        raise ValueError(f"{path}: expected a readable file, got: {error.strerror}") from None
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                state = _read_archive(archive)
        except Exception as error:  # a damaged file makes zipfile and the unpickler raise nearly anything
            raise ValueError(f"{path}: not a readable PyTorch checkpoint ({_first_line(error)})") from None
    elif head.startswith(b"PK"):
        raise ValueError(f"{path}: not a readable PyTorch checkpoint (the zip archive is cut short or damaged)")
    elif head == _LEGACY_MAGIC:
        try:
            with open(path, "rb") as file:
                state = _read_legacy(file)
        except Exception as error:
            raise ValueError(f"{path}: not a readable PyTorch checkpoint ({_first_line(error)})") from None
    else:
        raise ValueError(f"{path}: expected a PyTorch checkpoint (a zip archive), got a file of another kind")
    return _tensors(path, state)


def to_float32(tensor):
    """A floating-point array as float32, too large numbers as infinity, without a warning; others as they are."""
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        return tensor
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(tensor, np.float32)


def _tensors(path, state):
    """The state dict within what the file holds; raises where there is none, or more than names and tensors."""
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path}: expected a state dict (names to tensors), got {_kind(state)}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise ValueError(f"{path}: expected a state dict (names to tensors), got {_kind(value)} as {name!r:.50}")
    return dict(state)


def _kind(value):
    return f"an empty {type(value).__name__}" if isinstance(value, dict) and not value else type(value).__name__


def _first_line(error):
    """What an exception says, in one line of sensible length."""
    return (" ".join(str(error).split()) or type(error).__name__)[:150]


def _read_archive(archive):
    names = [name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
    if len(names) != 1:
        raise pickle.UnpicklingError(f"expected one data.pkl in the archive, found {len(names)}")
    if archive.getinfo(names[0]).file_size > _LARGEST_PICKLE:
        raise pickle.UnpicklingError(f"expected up to {_LARGEST_PICKLE} bytes of data.pkl")
    prefix = names[0].removesuffix("data.pkl")
    if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
        raise pickle.UnpicklingError("expected little-endian data")
    # What is packed could unpack to anything, and what lies in one place be read under many names.
    stored = [info.file_size for info in archive.infolist() if info.filename.startswith(f"{prefix}data/")]
    if sum(stored) > _size(archive.fp):
        raise pickle.UnpicklingError("tensors of more bytes than the file has")
    read = {}

    def storage(key, dtype, _):
        if (key, dtype) not in read:  # tensors may share a storage
            if len(read) > _MOST_STORAGES:
                raise pickle.UnpicklingError(f"more than {_MOST_STORAGES} storages")
            read[key, dtype] = np.frombuffer(archive.read(f"{prefix}data/{key}"), _STORAGES[dtype])
        return read[key, dtype]

    with archive.open(names[0]) as file:
        return _TensorUnpickler(io.BytesIO(file.read(_LARGEST_PICKLE)), storage, _size(archive.fp)).load()


def _size(file):
    return file.seek(0, 2)


def _read_legacy(file):
    """A file of PyTorch before 1.6: five pickles, then each storage, its count before it (8 bytes).

    The pickles are a number, a version, facts about the machine, the state, and the keys of the storages in order. The
    state comes before its storages, so that it is unpickled twice: to know of them, and to make tensors of them.
    """
    size = _size(file)
    file.seek(0)
    pickles = io.BytesIO(file.read(_LARGEST_PICKLE))
    asked = {}

    def note(key, dtype, count):
        asked[key] = dtype, count
        return _UNREAD

    facts = [_TensorUnpickler(pickles, note, size).load() for _ in range(3)][2]
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise pickle.UnpicklingError("expected little-endian data")
    begin = pickles.tell()
    _TensorUnpickler(pickles, note, size).load()
    keys = _TensorUnpickler(pickles, note, size).load()
    file.seek(pickles.tell())
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        dtype = _STORAGES[asked[key][0]]
        if not 0 <= count * dtype.itemsize <= size:
            raise pickle.UnpicklingError(f"a storage of {count} numbers in a file of {size} bytes")
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    pickles.seek(begin)
    return _TensorUnpickler(pickles, lambda key, *_: storages[key], size).load()


_UNREAD = object()
"""Stands for a storage that has not been read yet; a tensor of it is None."""


def _refuse_opcode(unpickler):
    raise pickle.UnpicklingError("an object that no tensor needs")


class _TensorUnpickler(pickle._Unpickler):
    """Builds NumPy arrays from the few globals that a state dict needs.

    Python's own unpickler, not that in C, which makes a table of as many places as a file says, sixteen gigabytes.
    """

    def __init__(self, file, storage, size):
        super().__init__(file)
        self._storage = storage  # (key, kind of numbers, count) to numbers
        self._left = _LARGEST_EXPANDED + size  # numbers that tensors may still have

    # BUILD sets attributes on anything, and PyTorch's are of no use here; the others make objects of other kinds.
    dispatch = pickle._Unpickler.dispatch | {
        pickle.BUILD[0]: lambda self: self.stack.pop(),
        **dict.fromkeys(_OTHER_OPCODES, _refuse_opcode),
    }

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")):
            return self._rebuild
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if module == "torch" and name in _STORAGES:
            return name  # a word, which the file cannot call
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid):
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or dtype not in _STORAGES or view not in ([], [None]):
            raise pickle.UnpicklingError(f"expected tensor storage, got {kind!r} of {dtype!r}")
        storage = self._storage(key, dtype, count)
        if storage is not _UNREAD and len(storage) < count:
            raise pickle.UnpicklingError(f"storage {key} holds {len(storage)} numbers, expected {count}")
        return storage

    def _rebuild(self, *arguments):
        if arguments and arguments[0] is _UNREAD:
            return None
        tensor = _rebuild_tensor(*arguments)
        self._left -= tensor.size
        if self._left < 0:
            raise pickle.UnpicklingError("tensors of many times the numbers that the file has")
        return tensor


def _rebuild_tensor(storage, offset, size, stride, *_):
    """An array of its own from a part of a storage. Every number is checked: NumPy's as_strided checks nothing."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise pickle.UnpicklingError(f"expected a tensor's storage, got {type(storage).__name__}")
    # Python's own integers only: those of NumPy overflow.
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor with an impossible layout")
    count = math.prod(size)
    if count > max(len(storage), _LARGEST_EXPANDED):
        raise pickle.UnpicklingError(f"a tensor of {count} numbers from a storage of {len(storage)}")
    if count == 0:
        return np.zeros(size, storage.dtype)
    if offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) >= len(storage):
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    strides = [s * storage.itemsize if n > 1 else 0 for n, s in zip(size, stride, strict=True)]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


def _rebuild_parameter(data, *_):
    return data
