"""Workers as processes of this machine, each with its own JAX, started afresh: a process forked after JAX may hang.

A worker has a pipe to the driver and shares nothing else with it or other workers, so that whatever kills one, in the
middle of whatever it does, harms no other.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
import warnings
from multiprocessing import connection

from modisp_jax.batch.work import name_of_worker, open_worker, render_job

FAILED_STARTS = 3
"""Workers in a row that may end before they are ready."""


@dataclasses.dataclass(eq=False)
class _Worker:
    """A process and what it is doing: ``task`` is None while it starts or waits."""

    process: multiprocessing.Process
    pipe: connection.Connection
    name: str = ""
    task: object = None


class Processes:
    """``count`` processes that render a task each. What all kinds of workers have:

    ``waiting()``: workers that wait for a task; ``give(worker, task)``; ``busy()``: how many tasks are given and not
    finished; ``wait(seconds)``: tasks that ended meanwhile, as (task, "done" | "failed" | "died", what came of it);
    ``close()``: ends all workers at once. ``waiting`` replaces workers that died.
    """

    def __init__(self, count, options):
        self._context, self._options = multiprocessing.get_context("spawn"), options
        self._count, self._failed_starts, self._workers = count, 0, []

    def __str__(self):
        return f"{self._count} process{'es' * (self._count > 1)}"

    def waiting(self):
        while len(self._workers) < self._count:
            self._workers.append(self._start())
        return [worker for worker in self._workers if worker.name and worker.task is None]

    def _start(self):
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._options), daemon=True)
        with _ctrl_c_ignored():  # which the process inherits: Ctrl-C reaches all, and the driver decides
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def give(self, worker, task):
        worker.task = task
        with contextlib.suppress(OSError):  # it has died, which wait() will find
            worker.pipe.send(task.job)

    def busy(self):
        return sum(worker.task is not None for worker in self._workers)

    def wait(self, seconds):
        ended = []
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in connection.wait(list(by_pipe), seconds):
            worker = by_pipe[pipe]
            try:
                kind, value = pipe.recv()
            except (EOFError, OSError):
                ended += self._bury(worker)
                continue
            if kind == "unusable":
                raise ValueError(value)
            if kind == "ready":
                worker.name, self._failed_starts = value, 0
            else:
                ended.append((worker.task, kind, value))
                worker.task = None
        return ended

    def _bury(self, worker):
        """Removes a worker that has ended; its task, if it had one, ends as died."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        how = _how_it_ended(worker.process.exitcode)
        if worker.task is not None:
            return [(worker.task, "died", f"{worker.name} {how}")]
        self._failed_starts += not worker.name
        if self._failed_starts >= FAILED_STARTS:
            raise ValueError(f"--processes: {FAILED_STARTS} in a row ended before they could begin; the last {how}")
        return []

    def close(self):
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []


def _how_it_ended(code):
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


@contextlib.contextmanager
def _ctrl_c_ignored():
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread: signals are not ours
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(pipe, options):
    """The process: renders one task after another until the driver closes the pipe, or ends."""
    with _ctrl_c_ignored():
        threading.Thread(target=_end_with_driver, daemon=True).start()
        # Another worker may be writing the compiled program that this one looks for: it is compiled then.
        warnings.filterwarnings("ignore", message="Error reading persistent compilation cache entry")
        try:
            session = open_worker(options)
        except (ValueError, OSError) as error:
            pipe.send(("unusable", str(error)))
            return
        pipe.send(("ready", name_of_worker("process")))
        with contextlib.suppress(EOFError):
            while True:
                pipe.send(render_job(pipe.recv(), session))


def _end_with_driver():
    """Ends this process when the driver is gone, also in the middle of a photo: a new run renders it again."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
