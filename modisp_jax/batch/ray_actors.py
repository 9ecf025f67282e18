"""Workers as actors of Ray, on one machine or a cluster whose machines see the same files under the same paths."""

import os

from modisp_jax.batch.work import name_of_worker, open_worker, render_job
from modisp_jax.batch.workers import Worker, Workers


class RayActors(Workers):
    """Actors, see :class:`modisp_jax.batch.workers.Workers`; Ray is connected before (``ray_cluster.connect``).

    ``count`` of them, by default one for each GPU of the cluster, or where it has none for each machine: on CPUs a
    rendering uses all cores.
    """

    def __init__(self, count, options):
        import ray

        self._ray, self._options = ray, options
        devices = ray.cluster_resources()
        gpus, cpus = int(devices.get("GPU", 0)), int(devices.get("CPU", 0))
        count = count or gpus or sum(node["Alive"] for node in ray.nodes())
        super().__init__(count, "--ray")
        actors_a_gpu = -(-count // gpus) if gpus else 0
        self._needs = {
            "num_gpus": 1 / actors_a_gpu if gpus else 0,
            "num_cpus": 1 if count <= cpus else 0,
            "scheduling_strategy": "SPREAD",
        }

    def __str__(self):
        return f"{self.count} actor{'s' * (self.count > 1)} of Ray"

    def start(self):
        actor = self._ray.remote(_Actor).options(**self._needs).remote()
        return Worker(actor, actor.open.remote(self._options, os.getcwd()))

    def give(self, worker, task):
        worker.task, worker.channel = task, worker.handle.render.remote(task.job)

    def wait(self, seconds):
        by_future = {worker.channel: worker for worker in self.workers if not worker.name or worker.task is not None}
        ready = self._ray.wait(list(by_future), num_returns=1, timeout=seconds)[0] if by_future else []
        ended = []
        for future in ready:
            worker = by_future[future]
            try:
                answer = self._ray.get(future)
            except self._ray.exceptions.RayActorError as error:
                ended += self.buried(worker, "ended: " + str(error).splitlines()[0])
                continue
            ended += self.answered(worker, *answer)
        return ended

    def close(self):
        for worker in self.workers:
            self._ray.kill(worker.handle)
        self.workers = []
        self._ray.shutdown()


class _Actor:
    """What runs in an actor's process. Options are opened by a method: what is wrong with them is then an answer."""

    def open(self, options, folder):
        os.chdir(folder)
        try:
            self._session = open_worker(options)
        except Exception as error:  # whatever it is, the driver says it in one line
            return "unusable", str(error) or type(error).__name__
        return "ready", name_of_worker("actor")

    def render(self, job):
        return render_job(job, self._session)
