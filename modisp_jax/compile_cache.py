"""Compiled programs on disk, so that only the first photo of a size on a machine waits for the compiler.

JAX's persistent cache does the work; here it is decided where it lies and how large it grows. The ``modisp`` program
turns it on; as a library the package leaves JAX's settings alone.
"""

import contextlib
import hashlib
import importlib
import os
import platform
import sys
import zlib
from pathlib import Path

import jax
import jaxlib

VARIABLE = "MODISP_CACHE_DIR"
"""Environment variable that names the cache's folder; empty, there is none."""

LARGEST = 2**30
"""Bytes that may lie in the cache when a run begins; what was used longest ago goes first."""

SHORTEST = 0.5
"""Seconds of compilation that make a program worth keeping."""


def enable():
    """Turns the cache on; returns its folder, or None where there is none.

    The folder is ``$MODISP_CACHE_DIR``, else ``$XDG_CACHE_HOME/modisp_jax``, else ``~/.cache/modisp_jax``. It does
    nothing where the variable is set and empty, where JAX has a cache by its own settings already, or where the folder
    cannot be written to: rendering then compiles as without.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return None
    root = cache_root()
    if root is None:
        return None
    folder = root / machine_key()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prune(root, LARGEST)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST)
    return folder


def cache_root():
    """The user's folder for what can be made again, see :func:`enable`; None where it is switched off. Not made."""
    named = os.environ.get(VARIABLE)
    if named == "":
        return None
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modisp_jax"


def machine_key():
    """A name for what compiled programs depend on and JAX's own key does not tell: the processor, by its features.

    A home folder may be shared by machines; code for the instructions of one would stop on another.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        features = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        features = [platform.processor()]
    about = "\n".join([platform.system(), platform.machine(), *features])
    return f"{jaxlib.__version__}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"


def prune(root, largest):
    """Deletes the programs of a cache that were used longest ago, until the rest has no more than ``largest`` bytes.

    Nothing else in the folder is touched, whatever folder the user has named.
    """
    found = []
    for path in root.glob("*/jit_*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another process prunes as well
            found.append((path, path.stat()))
    total = sum(stat.st_size for _, stat in found)
    for path, stat in sorted(found, key=lambda item: max(item[1].st_atime, item[1].st_mtime)):
        if total <= largest:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size


def remove_torn(since):
    """Deletes compiled programs that a killed process had begun to write after ``since``, seconds since 1970.

    JAX writes a program in place and never again: every later process would complain of a torn one, and compile anew.
    """
    folder = jax.config.jax_compilation_cache_dir
    for path in Path(folder).glob("jit_*-cache") if folder else ():
        with contextlib.suppress(OSError):  # another process was faster
            if path.stat().st_mtime >= since and not _is_whole(path.read_bytes()):
                path.unlink()


def _is_whole(data):
    """Whether a program's compressed bytes are all there; False where nothing here can tell."""
    try:
        if data[:1] == b"\x78":
            zlib.decompress(data)
        else:
            importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "zstandard").decompress(data)
    except Exception:  # each decompressor has exceptions of its own
        return False
    return True
