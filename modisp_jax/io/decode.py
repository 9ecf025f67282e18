"""Untrusted files are decoded by a child process, so that a decoder that hangs, crashes or wants all memory takes the
child and not its parent.

The child (:mod:`modisp_jax.io.decode_child`) is started with the first file, stays for the next ones, and is replaced
when it dies. Pixels come back in shared memory. Threads may decode at once: each has a child for the time.
docs/hard_inputs.md has what that costs, and why it is done.
"""

import atexit
import contextlib
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np

SWITCH = "MODISP_DECODE"
"""Environment variable; ``here`` decodes in the calling process, for debugging and where no process can be started."""

_DROPPED = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")  # they keep freed memory, and the child stays
_START = "import sys; sys.path[:] = {path!r}; from modisp_jax.io.decode_child import main; main({number})"

_idle = []
_lock = threading.Lock()


class DecodeError(Exception):
    """Why a child could not decode a file: ``refused``, as the decoder words it, or else what became of the child."""

    def __init__(self, message, refused=False):
        super().__init__(message)
        self.refused = refused


def is_separate():
    """Whether files are decoded by a child here: asked for (the default) and possible (not on Windows)."""
    can = hasattr(socket, "send_fds") and hasattr(signal, "setitimer") and bool(sys.executable)
    return can and os.environ.get(SWITCH, "child") != "here" and not getattr(sys, "frozen", False)


def decode(job, path, **options):
    """Has a child do ``job`` (a name of :data:`modisp_jax.io.jobs.JOBS`) on a file.

    Returns:
      (facts, array): a dict of what JSON can hold, and a NumPy array or None. The array is writable and one's own.

    Raises:
      DecodeError: the decoder refuses the file, or the child came to its end over it.
    """
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # removed meanwhile: only whole paths lead anywhere
        folder = os.sep
    child = _take()
    try:
        reply, array = child.ask({"job": job, "path": os.fspath(path), "folder": folder, "options": options})
    except (OSError, EOFError):
        code = child.end()
        raise DecodeError(_reason(code)) from None
    except BaseException:  # Ctrl-C: the answer to come must not be taken for the next file's
        child.end()
        raise
    with _lock:
        _idle.append(child)
    if "facts" in reply:
        return reply["facts"], array
    refused = "refused" in reply
    raise DecodeError(reply["refused" if refused else "failed"], refused)


def _reason(code):
    if code in (-signal.SIGALRM, -signal.SIGPROF):
        return "decoding takes longer than its size justifies"
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the decoder has crashed on it ({name})"


def _take():
    """A child that nobody uses; a new one, where there is none."""
    while True:
        with _lock:
            child = _idle.pop() if _idle else None
        if child is None:
            try:
                return _Child()
            except OSError as error:
                reason = f"no decoding process can be started ({error.strerror}); {SWITCH}=here does without"
                raise DecodeError(reason) from None
        if child.process.poll() is None:
            return child
        child.end()


class _Child:
    """A decoding process, and the socket to it."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        # Not the current folder: it is where photos are, and perhaps a numpy.py.
        path = [root, *(place for place in sys.path if place not in ("", root))]
        command = [sys.executable, "-P", "-c", _START.format(path=path, number=theirs.fileno())]
        environment = {k: v for k, v in os.environ.items() if k not in _DROPPED} | {"MALLOC_ARENA_MAX": "2"}
        with theirs:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        self._socket = ours

    def ask(self, request):
        """(reply, array or None); raises ``OSError`` or ``EOFError`` where the child is gone."""
        self._socket.sendall(json.dumps(request).encode("ascii") + b"\n")
        head, descriptors, _, _ = socket.recv_fds(self._socket, 8, 1)
        try:
            if not head:
                raise EOFError
            head += self._read(8 - len(head))
            reply = json.loads(self._read(int.from_bytes(head, "little")))
            if "shape" not in reply:
                return reply, None
            shape, dtype = reply["shape"], np.dtype(reply["dtype"])
            memory = mmap.mmap(descriptors[0], int(np.prod(shape)) * dtype.itemsize)
            return reply, np.frombuffer(memory, dtype).reshape(shape)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _read(self, count):
        parts = []
        while count:
            part = self._socket.recv(min(count, 2**20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def end(self):
        """Closes the socket, ends the process if need be; its exit code."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout=1)
        self.process.kill()
        return self.process.wait()


def close():
    """Ends the children that are idle; the next file starts one anew."""
    with _lock:
        children, _idle[:] = list(_idle), []
    for child in children:
        child.end()


def _forget():
    """After a fork: the children are the parent's."""
    global _lock
    _lock = threading.Lock()
    for child in _idle:
        child.process.returncode = 0  # not ours to wait for
        child._socket.close()
    _idle.clear()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
