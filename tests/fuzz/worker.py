"""A worker: reads the cases whose numbers come on standard input, and answers each with a line of JSON.

    python -m tests.fuzz.worker SEED_FILE SEED FOLDER [READER ...]

It may die of a case; the pool notices.
"""

import contextlib
import gc
import json
import os
import pickle
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

ROOM = 1_500_000_000
"""Bytes of address space that a case may take beyond what the worker has at its start."""


def main(arguments):
    seed_file, seed, folder, *readers = arguments
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what C code prints is no answer
    from tests.fuzz.cases import make_case
    from tests.fuzz.readers import READERS

    with open(seed_file, "rb") as file:
        seeds = pickle.load(file)  # our own, written by the pool
    _warm_up(seeds, Path(folder), readers or [name for name, reader in READERS.items() if reader.weight])
    limit_memory()
    print(json.dumps({"ready": True}), file=out)
    gc.collect()
    gc.freeze()  # what is there now stays, so that looking through the rest takes no time
    warnings.simplefilter("error")
    sys.unraisablehook = note
    for line in sys.stdin:
        case = make_case(int(line), int(seed), seeds, readers or None)
        print(json.dumps({"number": case.number} | run(case, Path(folder))), file=out)


def _warm_up(seeds, folder, readers):
    """Reads whole seeds by every reader, so that imports and compiling are no part of a case."""
    from tests.fuzz.cases import Case
    from tests.fuzz.readers import READERS

    for name in readers:
        fitting = [s for s in seeds if s.kind in READERS[name].kinds]
        # What is compiled differs between networks; elsewhere one file loads all there is.
        for seed in fitting if READERS[name].kinds[0] in ("params", "checkpoint") else fitting[:1]:
            run(Case(-1, name, seed.name, seed.files, ""), folder)


def limit_memory():
    """Allocations that a lying header asks for shall fail, not fill the machine."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))


ignored = []
"""What was raised where nobody could catch it: files that were never closed, for one."""


def note(unraisable):
    ignored.append(f"{unraisable.exc_type.__name__}: {unraisable.exc_value} in {unraisable.object!r:.200}")


def run(case, folder):
    """Reads one case: outcome, seconds, peak of memory beyond what was there before, and what was left behind."""
    from tests.fuzz.readers import READERS, leftovers, outcome_of

    inputs, outputs = folder / "in", folder / "out"
    for place in (inputs, outputs):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    for name, data in case.files.items():
        (inputs / name).write_bytes(data)
    before = reset_peak()
    start = time.perf_counter()
    error = None
    try:
        outcome = "read" if READERS[case.reader].read(inputs / case.name, outputs) else "unsound"
    except Exception as caught:
        outcome, error = outcome_of(caught), caught
    seconds = time.perf_counter() - start
    found = {"outcome": outcome, "seconds": seconds, "grown": max(0, peak() - before)}
    if error is not None and outcome == "refused":
        error = error.with_traceback(None)  # whose frames hold files open
    gc.collect()
    if ignored:
        found |= {"outcome": "fault", "ignored": ignored[:3]}
        ignored.clear()
    if error is not None:
        found["error"] = f"{type(error).__name__}: {error}"[:400]
        if outcome != "refused":
            found["trace"] = "".join(traceback.format_exception(error))[-3000:]
    stray = [name for name in leftovers(inputs) if name not in case.files]
    if outcome != "read":
        stray += [name for name in leftovers(outputs) if name != "a.jpg" and name != "a.png"]
    stray += [name for name in leftovers(outputs) if name.startswith(".")]
    if stray:
        found["partial"] = stray
    return found


def reset_peak():
    """Resident bytes now; the kernel's peak starts anew from here, where it lets us."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak():
    return _status("VmHWM")


def _status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main(sys.argv[1:])
