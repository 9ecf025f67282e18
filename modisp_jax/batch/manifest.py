"""The manifest of a batch: which photos are planned, begun, done and failed, on disk at every moment.

JSON lines, appended by one process, each write followed by fsync. Why not a database: SQLite's journal for readers
beside a writer needs shared memory, which network file systems lack, and those are where a cluster's folders lie; one
writer needs no transactions; and a person can read and search lines. A kill, or a power cut, can only tear the last
line, which has no newline then and is cut off by the next run. docs/batch.md specifies the records.
"""

import dataclasses
import json
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two batches from one folder there
    fcntl = None

NAME = "modisp_batch.jsonl"
"""Its name in the output folder."""

VERSION = 1

KINDS = ("modisp_batch", "run", "plan", "start", "done", "failed", "died", "end")
"""A record's kind is the one of these that is a key of it."""


@dataclasses.dataclass
class Entry:
    """What the manifest says of a photo."""

    size: int | None
    mtime_ns: int | None
    outputs: list
    """Paths of its pictures, relative to the folder."""
    group: str = ""
    """What it shares with photos of the same size."""
    state: str = "planned"
    """planned, started, done or failed."""
    starts: list = dataclasses.field(default_factory=list)
    """The run of each rendering that was begun."""
    pictures: dict = dataclasses.field(default_factory=dict)
    """Of one that is done: size, sha256 and mtime_ns of each picture."""
    reason: str = ""
    """Of one that has failed."""

    def is_of(self, other):
        """Whether the photo is still the same file, with pictures of the same names."""
        same_file = (self.size, self.mtime_ns) == (other.size, other.mtime_ns)
        return same_file and self.outputs == other.outputs


@dataclasses.dataclass
class State:
    """What all records together say, those from the last header on."""

    settings: dict | None = None
    run: int = 0
    """The number of the last run."""
    complete: bool = True
    """Whether the last run came to its end."""
    since: float = 0.0
    """When the last run began, seconds since 1970."""
    entries: dict = dataclasses.field(default_factory=dict)
    """:class:`Entry` of each photo by its absolute path."""


def read_manifest(path):
    """Reads a manifest; returns its :class:`State` and the bytes of it that are whole.

    Raises:
      ValueError: a line, other than a torn last one, is no record of a manifest.
    """
    data = Path(path).read_bytes()
    whole = data.rfind(b"\n") + 1
    state = State()
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            state = _with_record(state, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path}: line {number} is no record of a batch ({problem}); choose another -o") from None
    return state, whole


def _with_record(state, record):
    """The state after one more record."""
    kind = next(iter(record), None)
    if kind not in KINDS:
        raise ValueError(f"expected one of {', '.join(KINDS)}, got {kind!r}")
    about = record[kind]
    if kind == "modisp_batch":
        if about != VERSION:
            raise ValueError(f"expected version {VERSION}, got {about!r}")
        return State(settings=dict(record["settings"]), run=state.run)
    if state.settings is None:
        raise ValueError("expected a header before it")
    if kind == "run":
        state.run, state.since, state.complete = int(about), float(record["time"]), False
    elif kind == "end":
        state.complete = True
    elif kind == "plan":
        entry = Entry(record["size"], record["mtime_ns"], [str(x) for x in record["outputs"]], str(record["group"]))
        earlier = state.entries.get(about)
        if earlier is not None and earlier.outputs == entry.outputs:
            entry.starts = earlier.starts  # another file under the name, but its pictures are ours
        state.entries[about] = entry
    else:
        entry = state.entries[about]
        if kind == "start":
            entry.state, entry.starts = "started", [*entry.starts, state.run]
        elif kind == "done":
            entry.state, entry.pictures = (
                "done",
                {name: _picture(on_disk) for name, on_disk in record["outputs"].items()},
            )
        elif kind == "failed":
            entry.state, entry.reason = "failed", str(record["reason"])
    return state


def _picture(about):
    return {"size": int(about["size"]), "sha256": str(about["sha256"]), "mtime_ns": int(about["mtime_ns"])}


class Manifest:
    """An open manifest, locked against other batches in the same folder: ``state``, and records to add."""

    def __init__(self, folder):
        """Opens the manifest in ``folder`` or makes it, and cuts off a torn last line; raises ``ValueError``."""
        self.path = Path(folder) / NAME
        is_new = not self.path.exists()
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            self._lock()
            self.state, whole = read_manifest(self.path)
            os.ftruncate(self._file, whole)
            if is_new:
                _sync_folder(folder)
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self):
        """Holds until the process ends, however it ends."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.path}: another modisp batch is at work in this folder") from None
        except OSError:
            pass  # a file system without locks

    def add(self, *records):
        """Appends records by one write and waits until they are on the disk; applies them to ``state``."""
        data = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records).encode("ascii")
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(f"{self.path}: {written} of {len(data)} bytes written; is the disk full?")
        except OSError:
            os.ftruncate(self._file, end)
            raise
        os.fsync(self._file)
        for record in records:
            self.state = _with_record(self.state, record)

    def close(self):
        os.close(self._file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _sync_folder(folder):
    """Has the folder's list of files on the disk, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
