"""Workers as processes of this machine, each with its own JAX, started afresh: a process forked after JAX may hang.

A worker has a pipe to the driver and shares nothing else with it or other workers, so that whatever kills one, in the
middle of whatever it does, harms no other.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from multiprocessing import connection

from modisp_jax.batch.work import name_of_worker, open_worker, render_job
from modisp_jax.batch.workers import Worker, Workers


class Processes(Workers):
    """``count`` processes; see :class:`modisp_jax.batch.workers.Workers`."""

    def __init__(self, count, options):
        super().__init__(count, "--processes")
        self._context, self._options = multiprocessing.get_context("spawn"), options

    def __str__(self):
        return f"{self.count} process{'es' * (self.count > 1)}"

    def start(self):
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._options), daemon=True)
        with _ctrl_c_ignored():  # which the process inherits: Ctrl-C reaches all, and the driver decides
            process.start()
        theirs.close()
        return Worker(process, ours)

    def give(self, worker, task):
        worker.task = task
        with contextlib.suppress(OSError):  # it has died, which wait() will find
            worker.channel.send(task.job)

    def wait(self, seconds):
        ended = []
        by_pipe = {worker.channel: worker for worker in self.workers}
        for pipe in connection.wait(list(by_pipe), seconds):
            worker = by_pipe[pipe]
            try:
                answer = pipe.recv()
            except (EOFError, OSError):
                worker.handle.join()
                pipe.close()
                ended += self.buried(worker, _how_it_ended(worker.handle.exitcode))
                continue
            ended += self.answered(worker, *answer)
        return ended

    def close(self):
        for worker in self.workers:
            worker.handle.kill()
        for worker in self.workers:
            worker.handle.join()
            worker.channel.close()
        self.workers = []


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
    with _ctrl_c_ignored(), contextlib.suppress(EOFError, BrokenPipeError):
        threading.Thread(target=_end_with_driver, daemon=True).start()
        # Another worker may be writing the compiled program that this one looks for: it is compiled then.
        warnings.filterwarnings("ignore", message="Error reading persistent compilation cache entry")
        try:
            session = open_worker(options)
        except Exception as error:  # whatever it is, the driver says it in one line
            pipe.send(("unusable", str(error) or type(error).__name__))
            return
        pipe.send(("ready", name_of_worker("process")))
        while True:
            pipe.send(render_job(pipe.recv(), session))


def _end_with_driver():
    """Ends this process when the driver is gone, also in the middle of a photo: a new run renders it again."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
