"""Workers under watch: each case has ten seconds; a worker that dies or hangs is replaced, and its case kept."""

import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.fuzz.cases import make_case

SECONDS = 10.0
ROOT = Path(__file__).resolve().parents[2]
CASES_A_WORKER = 2500
"""After so many a worker is replaced, so that what one case left in its memory does not count against thousands."""


class Worker:
    """One process that reads cases."""

    def __init__(self, seed_file, seed, readers):
        self.folder = tempfile.TemporaryDirectory()
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        command = [sys.executable, "-m", "tests.fuzz.worker", str(seed_file), str(seed), self.folder.name, *readers]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "MODISP_CACHE_DIR": ""}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
                                        text=True, bufsize=1, env=environment, cwd=self.folder.name)  # fmt: skip
        self.answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.left = CASES_A_WORKER
        if self.answer(900) is None:
            raise RuntimeError(f"a worker did not start: {self.said()}")

    def _listen(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))
        self.answers.put(None)

    def answer(self, seconds):
        """The next answer; None where the worker has died, raises ``queue.Empty`` where it takes longer."""
        return self.answers.get(timeout=seconds)

    def ask(self, number):
        self.left -= 1
        try:
            self.process.stdin.write(f"{number}\n")
        except BrokenPipeError:
            return None
        return self.answer(SECONDS)

    def said(self):
        self.stderr.seek(0)
        return self.stderr.read()[-2000:].decode("utf-8", "replace")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.stderr.close()
        self.folder.cleanup()


def fuzz(numbers, seed, seeds, *, workers=2, readers=(), keep=None, report=lambda found: None):
    """Runs the cases ``numbers``; calls ``report`` with a dict for each, in any order.

    What went wrong ("crash", "hang", "fault", "unsound", or something left behind) is saved in the folder ``keep``.
    """
    todo = queue.Queue()
    for number in numbers:
        todo.put(number)
    lock = threading.Lock()
    failures = []
    with tempfile.NamedTemporaryFile(suffix=".seeds") as file:
        pickle.dump(seeds, file)
        file.flush()

        def work():
            worker = None
            try:
                while True:
                    try:
                        number = todo.get_nowait()
                    except queue.Empty:
                        return
                    if worker is None or worker.left <= 0:
                        if worker is not None:
                            worker.close()
                        worker = Worker(file.name, seed, readers)
                    found, worker = _one(worker, number)
                    case = make_case(number, seed, seeds, readers or None)
                    found |= {"reader": case.reader, "file": case.name, "damage": case.damage}
                    with lock:
                        if keep is not None and is_bad(found):
                            save(keep, case, found)
                        report(found)
            except BaseException as error:  # a broken pool must not pass for a clean run
                failures.append(error)
                raise
            finally:
                if worker is not None:
                    worker.close()

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _one(worker, number):
    """What became of a case, and the worker, or None where it is one no more."""
    try:
        found = worker.ask(number)
        if found is not None:
            return found, worker
        code = worker.process.wait()
        found = {"number": number, "outcome": "crash", "seconds": 0.0, "grown": 0}
        found["error"] = f"the worker ended with {code}: {worker.said()[-600:]}"
    except queue.Empty:
        found = {"number": number, "outcome": "hang", "seconds": SECONDS, "grown": 0, "error": worker.said()[-300:]}
    worker.close()
    return found, None


def is_bad(found):
    return found["outcome"] not in ("read", "refused") or "partial" in found or found["seconds"] > SECONDS


def save(folder, case, found):
    """Writes a case's files, and what happened, into a folder of its own."""
    place = Path(folder) / f"{found['outcome']}-{case.number}"
    place.mkdir(parents=True, exist_ok=True)
    for name, data in case.files.items():
        (place / name).write_bytes(data)
    (place / "what.json").write_text(json.dumps(found, indent=1))
