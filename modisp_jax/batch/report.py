"""What a batch says of its progress: one line that changes on a terminal, else one line a photo."""

import sys
import time


class Report:
    """Counts photos and says how far the batch is."""

    def __init__(self, total, settled, failures, stream=None, clock=time.monotonic):
        """``settled``: of ``total`` photos, those that earlier runs have rendered or reported, the ``failures``."""
        self._stream = sys.stderr if stream is None else stream
        self._live, self._clock, self._started = self._stream.isatty(), clock, clock()
        self.total, self.done, self.failures = total, settled - len(failures), list(failures)
        self._settled, self._stopping = settled, False

    def begins(self, workers, notes):
        for line in notes:
            self._say(line)
        if self._live or self._settled:
            self._say(f"{self.total} photos, {self._settled} of them settled by earlier runs; {workers}")

    def finished(self, task, seconds):
        self.done += 1
        self._one_more(f"{task.job.photo} -> {', '.join(task.entry.outputs)}, {seconds:.1f} s")

    def failed(self, task, reason):
        del task
        self.failures.append(reason)
        self._one_more(f"failed: {reason}")

    def again(self, task, reason):
        self._say(f"{task.job.photo}: {reason}; it is rendered once more at the end")

    def stops(self, busy):
        if not self._stopping:
            self._say(f"stopping after the photos in hand ({busy}); Ctrl-C again abandons them")
        self._stopping = True

    def ends(self, whole):
        """Lists what failed in this run or an earlier one."""
        if self._live and self.done + len(self.failures) > self._settled:
            self._stream.write("\n")  # the line of the progress stays
        for reason in self.failures:
            self._stream.write(f"modisp: error: {reason}\n")
        failed = f", {len(self.failures)} failed (--retry-failed renders them again)" if self.failures else ""
        self._say(f"{self.done} of {self.total} photos done{failed}")
        if not whole:
            self._say("modisp: interrupted; the same command goes on")

    def progress(self):
        """Photos settled, photos a minute in this run, and how long the rest takes at that rate."""
        settled = self.done + len(self.failures)
        here, seconds = settled - self._settled, max(self._clock() - self._started, 1e-3)
        left = duration((self.total - settled) * seconds / max(here, 1))
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{settled}/{self.total} photos{failed}, {60 * here / seconds:.1f} photos/min, {left} left"

    def _one_more(self, line):
        if self._live:
            self._stream.write(f"\r\x1b[K{self.progress()}")
            self._stream.flush()
        else:
            self._say(f"[{self.done + len(self.failures)}/{self.total}] {line}")

    def _say(self, line):
        self._stream.write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        self._stream.flush()


def duration(seconds):
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
