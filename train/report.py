"""What a run says of itself: the log, the line that shows how far it is; and how it is asked to stop."""

import contextlib
import json
import math
import time

from modisp_jax.io.images import replacing


def numbers(values):
    """Arrays [] as Python floats; infinities and NaN, which JSON does not have, as None."""
    return {name: number if math.isfinite(number := float(value)) else None for name, value in values.items()}


class Log:
    """A file of JSON lines, cut back to the step at which a run begins; written by the ``chief`` process only."""

    def __init__(self, path, step, chief):
        self.path, self.chief = path, chief
        if chief and path.is_file():
            kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
            with replacing(path, error=ValueError) as temporary:
                temporary.write_text("".join(line + "\n" for line in kept))

    def write(self, step, values):
        """Adds a line."""
        if self.chief:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")


def _step_of(line):
    """The step of a line of the log; infinite for half a line, which a run that was killed may have left."""
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return math.inf


class Progress:
    """One line that says how far the run is, what the loss is and how long it will take.

    On a terminal the line is rewritten in place; elsewhere each is a line of its own. ``out`` None says nothing.
    """

    def __init__(self, out, steps):
        self.out, self.steps, self._from = out, steps, None
        self._live = out is not None and out.isatty()

    def step(self, step):
        """Starts the clock after the first step, which compiles."""
        self._from = self._from or (step, time.perf_counter())

    def show(self, step, loss):
        """Rewrites the line."""
        first, started = self._from
        words = f"step {step}/{self.steps}  loss {loss:.4g}"
        if step > first:
            per_step = (time.perf_counter() - started) / (step - first)  # validations included
            left = round(per_step * (self.steps - step))
            words += f"  {per_step:.2f} s/step  {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        self._print(words, end="" if self._live else "\n")

    def validation(self, step, metrics):
        """A line that stays, with the numbers of a validation."""
        words = ", ".join(
            f"{name} {value:.4g}" if value is not None else f"{name} -" for name, value in metrics.items()
        )
        self._print(f"step {step}: {words}")

    def end(self, step, best):
        """The last line: whether the run is complete, and what came of it."""
        if step < self.steps:
            self._print(f"interrupted after step {step} of {self.steps}; the same command resumes")
        elif not best:
            self._print(f"done: {step} steps, but no validation had a score, and no weights were kept")
        else:
            score = "-" if best["score"] is None else f"{best['score']:.4g}"
            self._print(f"done: {step} steps, best score {score} after step {best['step']}")

    def _print(self, words, end="\n"):
        if self.out is not None:
            print(("\r\x1b[K" if self._live else "") + words, end=end, file=self.out, flush=True)


class Stopwatch:
    """Time and samples between lines of the log, without validations."""

    def __init__(self):
        self._restart()

    def _restart(self):
        self._started, self._waited, self._samples = time.perf_counter(), 0.0, 0

    @contextlib.contextmanager
    def waiting(self):
        """Counts as time that the device waited for data."""
        before = time.perf_counter()
        yield
        self._waited += time.perf_counter() - before

    @contextlib.contextmanager
    def paused(self):
        """Does not count."""
        before = time.perf_counter()
        yield
        self._started += time.perf_counter() - before

    def step(self, samples):
        """Counts a step's samples."""
        self._samples += samples

    def read(self):
        """Throughput, and seconds for data and in all, since the last reading."""
        seconds = time.perf_counter() - self._started
        values = {"images_per_s": self._samples / seconds, "data_s": self._waited, "seconds": seconds}
        self._restart()
        return values
