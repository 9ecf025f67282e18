"""The child that decodes: what :mod:`modisp_jax.io.decode` starts. It reads requests until its parent is gone.

A request is a line of JSON ``{"job", "path", "folder", "options"}``, a reply the length of a JSON (8 bytes, with the
file descriptor of the array, where there is one, beside it) and the JSON: ``{"facts", "shape", "dtype"}``,
``{"refused": message}`` or ``{"failed": message}``. Nothing is pickled.

Time is limited by two clocks whose default is the end of the process, whatever C code is doing: one of the processor's
time, so that a busy machine refuses nothing, and the alarm clock for what waits for ever. Memory is limited by the
kernel, so that an allocation fails. All grow with the pixels, once the file has said how many there are.
"""

import importlib
import json
import mmap
import os
import resource
import signal
import socket
import sys
import tempfile

import numpy as np

from modisp_jax.io import limits

SECONDS = 8
"""Processor time for a file before its size is known; a small file needs a hundredth."""
SECONDS_PER_MEGAPIXEL = 4.0
"""Twenty times what LibRaw takes on two busy cores: a bound for those that hang, not a race for slow machines."""
PATIENCE = 10
"""Wall-clock time for each second of processor time that is allowed."""
BYTES = 2**29
"""Memory for a file beyond that of the process, before its size is known."""
BYTES_PER_PIXEL = 48
"""A Bayer mosaic takes 31: 16 bits, 4 x 16 bits of LibRaw's, floats of mosaic and image."""

_shared = {}
"""The array that was last given out as output, its memory and file descriptor."""


def main(number):
    """Serves requests on the socket with that file descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to treat
    for name in ("rawpy", "tifffile", "imagecodecs", "PIL.Image", "modisp_jax.io.jobs"):  # no part of a file's time
        importlib.import_module(name)
    own = _data_size()

    def allow(pixels):
        _clocks(SECONDS + SECONDS_PER_MEGAPIXEL * pixels / 1e6)
        if own:
            _limit(own + BYTES + BYTES_PER_PIXEL * int(pixels))

    limits.in_child(grant=allow, output=_output)
    with socket.socket(fileno=number) as connection:
        requests = connection.makefile("r", encoding="ascii")
        for line in requests:
            limits.grant(0)
            facts, array = _serve(json.loads(line))
            _clocks(0)
            _reply(connection, facts, array)
            del array
            _forget()


def _clocks(seconds):
    """Ends this process after so many seconds of work, or ten times as many of anything; 0: never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)


def _serve(request):
    """(reply without the array's facts, array or None)."""
    from modisp_jax.io.jobs import JOBS, REFUSALS

    try:
        os.chdir(request["folder"])
        facts, array = JOBS[request["job"]](request["path"], **request["options"])
        return {"facts": facts}, array
    except REFUSALS as error:
        return {"refused": str(error)}, None
    except MemoryError:
        return {"failed": "it needs more memory than its size justifies"}, None
    except Exception as error:  # a mistake of ours, or of a library: the parent says so
        return {"failed": f"unexpected error {type(error).__name__}: {error}"}, None


def _reply(connection, reply, array):
    descriptors = []
    if array is not None:
        descriptors = [_descriptor(np.ascontiguousarray(array))]
        reply |= {"shape": array.shape, "dtype": array.dtype.str}
    data = json.dumps(reply).encode("ascii")
    socket.send_fds(connection, [len(data).to_bytes(8, "little")], descriptors)
    connection.sendall(data)


def _descriptor(array):
    """File descriptor of the shared memory that holds the array; copied there unless it is there already."""
    ours = _shared.get("array")
    if ours is None or (ours.ctypes.data, ours.nbytes) != (array.ctypes.data, array.nbytes):
        _output(array.shape, array.dtype)[...] = array
    return _shared["descriptor"]


def _output(shape, dtype=np.float32):
    """An empty array in nameless memory (elsewhere than on Linux in a nameless file)."""
    _forget()
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("modisp")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    os.truncate(descriptor, size)
    memory = mmap.mmap(descriptor, size)  # unmapped when its last array is gone
    array = np.frombuffer(memory, dtype).reshape(shape)
    _shared.update(descriptor=descriptor, array=array)
    return array


def _forget():
    if _shared:
        os.close(_shared.pop("descriptor"))
        _shared.clear()


def _data_size():
    """Bytes that this process has of its own now; 0 where that cannot be known, and memory is not limited."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            found = [line for line in file if line.startswith("VmData:")]
    except OSError:
        return 0
    # Every thread that LibRaw starts has a stack of its own, and glibc two pools of memory for all of them.
    threads = (os.cpu_count() or 1) * 2**24
    return int(found[0].split()[1]) * 1024 + threads if found else 0


def _limit(size):
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
