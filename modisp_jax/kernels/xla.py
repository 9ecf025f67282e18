"""Python functions as custom calls of a compiled JAX program on the CPU, through XLA's foreign function interface.

A registered function gets NumPy views of the program's own buffers, nothing is copied, and is found by its name: the
program can be cached on disk and exported. (``jax.pure_callback`` copies, may wait for itself with large arrays, and
leaves an address in the program, which then cannot be cached.) The structs are those of ``c_api.h`` in
``jax.ffi.include_dir()``; their layout is stable within a major version of the interface.
"""

import _thread
import atexit
import contextlib
import ctypes
import json
import math
import traceback

import jax
import numpy as np

MAJOR, MINOR = 0, 1
"""The version of the interface that is spoken here."""

EXECUTE = 3
METADATA = 1
INTERNAL = 13
DTYPES = {11: np.dtype(np.float32), 4: np.dtype(np.int32), 6: np.dtype(np.uint8)}
"""Numbers of ``XLA_FFI_DataType`` that kernels take."""

_handlers = {}
"""By name; kept alive for as long as the process, as XLA holds their addresses."""

_called = set()
"""Names of those that a program of this process calls."""


def _struct(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": fields})


_HEAD = (("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p))
_Version = _struct("Version", *_HEAD, ("major", ctypes.c_int), ("minor", ctypes.c_int))
_Metadata = _struct("Metadata", ("struct_size", ctypes.c_size_t), ("version", _Version))
_Extension = _struct(
    "Extension",
    ("struct_size", ctypes.c_size_t),
    ("type", ctypes.c_int),
    ("next", ctypes.c_void_p),
    ("metadata", ctypes.POINTER(_Metadata)),
)
_Buffer = _struct(
    "Buffer",
    *_HEAD,
    ("dtype", ctypes.c_int),
    ("data", ctypes.c_void_p),
    ("rank", ctypes.c_int64),
    ("dims", ctypes.POINTER(ctypes.c_int64)),
)
_Buffers = _struct(
    "Buffers",
    *_HEAD,
    ("size", ctypes.c_int64),
    ("types", ctypes.c_void_p),
    ("items", ctypes.POINTER(ctypes.POINTER(_Buffer))),
)
_Text = _struct("Text", ("start", ctypes.c_void_p), ("length", ctypes.c_size_t))
_Attributes = _struct(
    "Attributes",
    *_HEAD,
    ("size", ctypes.c_int64),
    ("types", ctypes.c_void_p),
    ("names", ctypes.c_void_p),
    ("items", ctypes.POINTER(ctypes.POINTER(_Text))),
)
_ErrorArguments = _struct("ErrorArguments", *_HEAD, ("message", ctypes.c_char_p), ("code", ctypes.c_int))
_Api = _struct(
    "Api",
    *_HEAD,
    ("version", _Version),
    ("internal", ctypes.c_void_p),
    ("create_error", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_ErrorArguments))),
)
_Frame = _struct(
    "Frame",
    *_HEAD,
    ("api", ctypes.POINTER(_Api)),
    ("context", ctypes.c_void_p),
    ("stage", ctypes.c_int),
    ("arguments", _Buffers),
    ("results", _Buffers),
    ("attributes", _Attributes),
)
_Handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Frame))


def register(name, function):
    """Makes ``function(*arrays, *results, **options)`` known to XLA's CPU backend; it writes to ``results``.

    The arrays are views of XLA's buffers, C-contiguous and valid during the call only.
    """

    def handle(frame):
        frame = frame.contents
        try:
            if frame.extension and _answer_metadata(frame.extension):
                return None
            if frame.stage == EXECUTE:
                _called.add(name)
                arrays = [_view(item) for item in _items(frame.arguments)]
                results = [_view(item) for item in _items(frame.results)]
                function(*arrays, *results, **_options(frame.attributes))
        except BaseException as error:  # nothing may pass through XLA's C++ frames
            if isinstance(error, KeyboardInterrupt):
                _thread.interrupt_main()  # once more, for whoever waits for the program
            message = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
            arguments = _ErrorArguments(ctypes.sizeof(_ErrorArguments), None, message.encode(), INTERNAL)
            return frame.api.contents.create_error(ctypes.byref(arguments))
        return None

    handler = _Handler(handle)
    _handlers[name] = handler
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(ctypes.cast(handler, ctypes.c_void_p)), platform="cpu")


@atexit.register
def _leave_unfinished():
    """Keeps Python from taking JAX's CPU client down, where it would wait for programs that cannot end any more.

    Results that nobody waited for may still be computed when the interpreter goes. A thread that then calls a kernel is
    ended by Python, its program stays unfinished, and the client's destructor would wait for it for ever.
    """
    if not _called:
        return
    with contextlib.suppress(RuntimeError):  # no CPU among the platforms that JAX may use
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(jax.devices("cpu")[0].client))


def names():
    """What is registered, by name."""
    return list(_handlers)


def call(name, results, *arrays, in_place=False, batched=False, **options):
    """Calls a registered function on arrays within a JAX program; ``options`` are plain values.

    Args:
      name: what it is registered as.
      results: a ``jax.ShapeDtypeStruct`` or a sequence of them.
      arrays: its arguments. Under ``vmap`` it is called once for each element, unless ``batched``.
      in_place: the (first) result is written over the first array; XLA copies it before where it is still needed.
      batched: under ``vmap`` it is called once, with one more leading dimension of all results and arguments, of size 1
        for those that are alike for all elements.
      options: keyword arguments of the function.
    """
    _called.add(name)
    aliases = {0: 0} if in_place else None
    vmap = "expand_dims" if batched else "sequential"
    target = jax.ffi.ffi_call(name, results, vmap_method=vmap, input_output_aliases=aliases)
    return target(*arrays, options=json.dumps(options))


def images(array, lead, rank):
    """An array of a ``batched`` call as [n, ...] of ``rank`` more dimensions: all that lead, of sizes ``lead``, as one.

    Where it has size 1 in place of one of those, each of the n is the same.
    """
    shape = array.shape[array.ndim - rank :]
    array = np.ascontiguousarray(np.broadcast_to(array, (*lead, *shape))).reshape(-1, *shape)
    array.flags.writeable = False  # as broadcast views are, where nothing was copied: the loops take one type
    return array


def _answer_metadata(address):
    """Before the first call XLA asks for the version of the interface; returns whether that was the question."""
    extension = _Extension.from_address(address)
    if extension.type != METADATA:
        return False
    version = extension.metadata.contents.version
    version.major, version.minor = MAJOR, MINOR
    return True


def _items(buffers):
    return [pointer.contents for pointer in buffers.items[: buffers.size]]


def _view(buffer):
    """A NumPy view of a buffer."""
    shape = buffer.dims[: buffer.rank]
    dtype = DTYPES[buffer.dtype]
    size = math.prod(shape) * dtype.itemsize
    return np.ndarray(shape, dtype, (ctypes.c_uint8 * size).from_address(buffer.data) if size else None)


def _options(attributes):
    if attributes.size == 0:
        return {}
    text = attributes.items[0].contents
    return json.loads(ctypes.string_at(text.start, text.length))
