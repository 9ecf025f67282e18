"""What all workers of a batch have in common, whether processes or actors of Ray, as the driver sees them."""

import dataclasses

FAILED_STARTS = 3
"""Workers in a row that may end before they are ready."""


@dataclasses.dataclass(eq=False)
class Worker:
    """A worker: starting while it has no name, waiting while it has no task."""

    handle: object
    """The process or the actor."""
    channel: object
    """Where its next answer comes from."""
    name: str = ""
    task: object = None


class Workers:
    """``count`` workers, each of which renders one task at a time. A kind of them adds, beside its ``__init__``:

    ``start()``: a new :class:`Worker`; ``give(worker, task)``; ``wait(seconds)``: the tasks that have ended meanwhile,
    as (task, "done" | "failed" | "died", what came of it); ``close()``: ends all at once.
    """

    def __init__(self, count, option):
        self.count, self.option, self.workers, self._failed_starts = count, option, [], 0

    def waiting(self):
        """Workers that wait for a task; starts those that are missing, at first or because they died."""
        while len(self.workers) < self.count:
            self.workers.append(self.start())
        return [worker for worker in self.workers if worker.name and worker.task is None]

    def busy(self):
        """How many tasks are given and not ended."""
        return sum(worker.task is not None for worker in self.workers)

    def answered(self, worker, kind, value):
        """What a worker's answer ends: a list of one task or none."""
        if kind == "unusable":
            raise ValueError(value)
        if kind == "ready":
            worker.name, self._failed_starts = value, 0
            return []
        task, worker.task = worker.task, None
        return [(task, kind, value)]

    def buried(self, worker, how):
        """What the end of a worker ends: a list of one task or none. Raises where workers cannot even start."""
        self.workers.remove(worker)
        if worker.task is not None:
            return [(worker.task, "died", f"{worker.name} {how}")]
        self._failed_starts += not worker.name
        if self._failed_starts >= FAILED_STARTS:
            raise ValueError(f"{self.option}: {FAILED_STARTS} in a row ended before they could begin; the last {how}")
        return []
