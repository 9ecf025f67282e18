"""The connection to Ray; imports no JAX, since a process shall not fork after JAX, and a Ray of our own is forked."""

import os


def connect(address=()):
    """Connects to the cluster of Ray at ``address``, () or (address,); () is ``$RAY_ADDRESS``, else this machine.

    Raises:
      ValueError: Ray is not installed, or not there.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("--ray: expected the package ray, which is not here: pip install 'modisp_jax[ray]'") from None
    where = address[0] if address else os.environ.get("RAY_ADDRESS") or "local"
    # Messages are small, so a Ray of our own needs little memory for objects.
    own = {"object_store_memory": 10**8, "include_dashboard": False} if where == "local" else {}
    try:
        ray.init(where, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ValueError(f"--ray {where}: expected a cluster of Ray there, got: {error}") from None
