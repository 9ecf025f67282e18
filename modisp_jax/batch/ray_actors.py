"""Workers as actors of Ray, on one machine or a cluster whose machines see the same files under the same paths."""

import dataclasses
import os

from modisp_jax.batch.work import name_of_worker, open_worker, render_job

FAILED_STARTS = 3
"""Actors in a row that may end before they are ready."""


@dataclasses.dataclass(eq=False)
class _Worker:
    """An actor and what it is doing; ``future`` is what it is asked for, None while it waits."""

    actor: object
    future: object
    name: str = ""
    task: object = None


class RayActors:
    """Actors that render a task each; see :class:`modisp_jax.batch.processes.Processes` for what workers have.

    ``count`` of them, by default one for each GPU of the cluster, or where it has none for each machine: on CPUs a
    rendering uses all cores. ``address`` is () or (address,).
    """

    def __init__(self, count, options, address=()):
        self._ray, self._options = _import_ray(), options
        where = address[0] if address else os.environ.get("RAY_ADDRESS") or "local"
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        # Messages are small, so a Ray of our own needs little memory for objects.
        own = {"object_store_memory": 10**8, "include_dashboard": False} if where == "local" else {}
        try:
            self._ray.init(where, **quiet, **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(f"--ray {where}: expected a cluster of Ray there, got: {error}") from None
        devices = self._ray.cluster_resources()
        gpus, cpus = int(devices.get("GPU", 0)), int(devices.get("CPU", 0))
        machines = sum(node["Alive"] for node in self._ray.nodes())
        self._count = count or gpus or machines
        per_gpu = -(-self._count // gpus) if gpus else 0
        self._needs = {
            "num_gpus": 1 / per_gpu if gpus else 0,
            "num_cpus": 1 if self._count <= cpus else 0,
            "scheduling_strategy": "SPREAD",
        }
        self._failed_starts, self._workers = 0, []

    def __str__(self):
        return f"{self._count} actor{'s' * (self._count > 1)} of Ray"

    def waiting(self):
        while len(self._workers) < self._count:
            actor = self._ray.remote(_Actor).options(**self._needs).remote()
            self._workers.append(_Worker(actor, actor.open.remote(self._options, os.getcwd())))
        return [worker for worker in self._workers if worker.name and worker.task is None]

    def give(self, worker, task):
        worker.task, worker.future = task, worker.actor.render.remote(task.job)

    def busy(self):
        return sum(worker.task is not None for worker in self._workers)

    def wait(self, seconds):
        ended = []
        by_future = {worker.future: worker for worker in self._workers if worker.future is not None}
        ready, _ = self._ray.wait(list(by_future), num_returns=1, timeout=seconds)
        for future in ready:
            worker = by_future[future]
            worker.future = None
            try:
                kind, value = self._ray.get(future)
            except self._ray.exceptions.RayActorError as error:
                ended += self._bury(worker, " ".join(str(error).split()))
                continue
            if kind == "unusable":
                raise ValueError(value)
            if kind == "ready":
                worker.name, self._failed_starts = value, 0
            else:
                ended.append((worker.task, kind, value))
                worker.task = None
        return ended

    def _bury(self, worker, how):
        """Removes an actor that has ended; its task, if it had one, ends as died."""
        self._workers.remove(worker)
        if worker.task is not None:
            return [(worker.task, "died", f"{worker.name}: {how}")]
        self._failed_starts += not worker.name
        if self._failed_starts >= FAILED_STARTS:
            raise ValueError(f"--ray: {FAILED_STARTS} actors in a row ended before they could begin: {how}")
        return []

    def close(self):
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers = []
        self._ray.shutdown()


class _Actor:
    """What runs in an actor's process. Options are opened by a method: what is wrong with them is then an answer."""

    def open(self, options, folder):
        os.chdir(folder)
        try:
            self._session = open_worker(options)
        except (ValueError, OSError) as error:
            return "unusable", str(error)
        return "ready", name_of_worker("actor")

    def render(self, job):
        return render_job(job, self._session)


def _import_ray():
    try:
        import ray
    except ImportError:
        raise ValueError("--ray: expected the package ray, which is not here: pip install 'modisp_jax[ray]'") from None
    return ray
