"""Reads PyTorch checkpoints without PyTorch and without running anything that they contain.

A ``.pth`` file is a zip archive: ``data.pkl`` describes the tensors, ``data/KEY`` holds their bytes. The unpickler
below knows tensors, ordered dicts and nothing else, so a file that asks for any other object is refused.
"""

import collections
import pickle
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_state_dict(path):
    """Reads a state dict: names to arrays.

    Args:
      path: a file written by ``torch.save(module.state_dict(), path)``, PyTorch 1.6 or newer. Older files, which
        are no zip archives, need PyTorch installed (``pip install 'modisp_jax[torch]'``).

    Returns:
      A dict from names to NumPy arrays, in the file's order.

    Raises:
      ValueError: the file is damaged, is no checkpoint, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        state = _read_legacy(path)
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                state = _read_archive(archive)
        except (pickle.UnpicklingError, zipfile.BadZipFile, KeyError, EOFError, AttributeError, TypeError) as error:
            raise ValueError(f"{path}: not a readable PyTorch checkpoint ({error})") from None
    for wrapper in ("state_dict", "model_state_dict", "params"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(isinstance(v, np.ndarray) for v in state.values()):
        raise ValueError(f"{path}: expected a state dict (names to tensors), got {type(state).__name__}")
    return dict(state)


def _read_archive(archive):
    names = [name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
    if len(names) != 1:
        raise pickle.UnpicklingError(f"expected one data.pkl in the archive, found {len(names)}")
    prefix = names[0].removesuffix("data.pkl")
    if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
        raise pickle.UnpicklingError("expected little-endian data")
    with archive.open(names[0]) as file:
        return _TensorUnpickler(file, archive, prefix).load()


class _TensorUnpickler(pickle.Unpickler):
    """Builds NumPy arrays from the few globals that a state dict needs."""

    def __init__(self, file, archive, prefix):
        super().__init__(file)
        self._archive, self._prefix = archive, prefix

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid):
        kind, dtype, key, _, count = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"expected tensor storage, got {kind!r}")
        data = self._archive.read(f"{self._prefix}data/{key}")
        storage = np.frombuffer(data, np.dtype(dtype).newbyteorder("<") if dtype is not ml_dtypes.bfloat16 else dtype)
        if len(storage) < count:
            raise pickle.UnpicklingError(f"storage {key} holds {len(storage)} numbers, expected {count}")
        return storage


def _rebuild_tensor(storage, offset, size, stride, *_):
    if len(size) != len(stride) or offset < 0 or min(stride, default=0) < 0 or min(size, default=1) < 0:
        raise pickle.UnpicklingError("a tensor with an impossible layout")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and last >= len(storage):
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    strides = [s * storage.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


def _read_legacy(path):
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path}: expected a PyTorch checkpoint in zip format; for the format before PyTorch 1.6 install torch"
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        line = str(error).strip().splitlines()[0][:100]
        raise ValueError(f"{path}: not a readable PyTorch checkpoint ({line})") from None
    if isinstance(state, dict):
        state = {name: v.numpy() if isinstance(v, torch.Tensor) else v for name, v in state.items()}
    return state
