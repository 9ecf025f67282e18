"""The closed form with which fitting a style starts, for tests that run all of it."""

from modisp_jax.fit import start
from tests.samples import steps_jit

COMMON = steps_jit(start._common.__wrapped__, static_argnames="settings")
"""``start._common``, hundreds of steps without a network: here optimisation takes less time than it saves."""
