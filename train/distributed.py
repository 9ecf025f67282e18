"""Several processes that train together: each on its devices and its part of the batch."""

import jax


def connect(coordinator, process=None, processes=None):
    """Joins this process to the others; comes before anything that JAX computes.

    Args:
      coordinator: ``HOST:PORT`` of process 0, or ``auto`` where JAX finds out by itself (Slurm, Open MPI, TPU pods).
      process: number of this process, from 0.
      processes: how many there are.

    Raises:
      ValueError: a number that is missing or out of range, or no answer from the coordinator.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # matters on CPUs only
    if coordinator == "auto":
        return _initialize()
    if process is None or processes is None or not 0 <= process < processes:
        raise ValueError(f"expected --process I and --processes N with 0 <= I < N, got {process} and {processes}")
    if ":" not in coordinator:
        raise ValueError(f"coordinator: expected HOST:PORT or auto, got {coordinator!r}")
    return _initialize(coordinator_address=coordinator, num_processes=processes, process_id=process)


def _initialize(**options):
    try:
        jax.distributed.initialize(**options)
    except RuntimeError as error:
        raise ValueError(f"the processes cannot join: {error}") from None
