"""The choice between a kernel and what XLA compiles.

The environment variable ``MODISP_KERNELS=0`` leaves all to XLA, to compare.
"""

import contextlib
import contextvars
import functools
import os

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

VARIABLE = "MODISP_KERNELS"

_other_platforms = contextvars.ContextVar("other platforms", default=False)


@contextlib.contextmanager
def for_every_platform():
    """What is traced within can be compiled for any platform; else a machine without a GPU traces for CPUs only."""
    token = _other_platforms.set(True)
    try:
        yield
    finally:
        _other_platforms.reset(token)


def takes(*arrays):
    """Whether the kernels take these arrays: float32, none empty."""
    leaves = jax.tree.leaves(arrays)
    return all(jnp.result_type(x) == jnp.float32 and 0 not in jnp.shape(x) for x in leaves)


def enabled():
    """Whether programs for CPUs call kernels."""
    return os.environ.get(VARIABLE) != "0"


def on_cpu(kernel, compiled, *arrays):
    """Calls ``kernel`` where the program is compiled for a CPU and it takes these arrays, else ``compiled``.

    Both are functions of ``arrays``, pytrees, that agree to rounding. Not differentiable where the kernel is called.
    """
    if not enabled() or not takes(*arrays):
        return compiled(*arrays)
    return by_platform(kernel, compiled, *arrays)


def by_platform(for_cpu, for_others, *arrays):
    """Calls ``for_cpu`` in a program that is compiled for a CPU, else ``for_others``, with the same arrays."""
    if jax.default_backend() == "cpu" and not _other_platforms.get():  # no need to trace what is for others
        return for_cpu(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=for_cpu, default=for_others)


def on_cpu_unless_differentiated(kernel, compiled, *arrays):
    """The same; in reverse-mode differentiation ``compiled`` gives value and gradient. There is no forward mode."""

    @jax.custom_vjp
    def run(*arrays):
        return on_cpu(kernel, compiled, *arrays)

    run.defvjp(lambda *arrays: jax.vjp(compiled, *arrays), lambda pullback, ct: pullback(ct))
    return run(*arrays)


def on_cpu_unless_moving(kernel, compiled, *arrays):
    """The same for a ``compiled`` without any ``jax.custom_vjp`` within: differentiable forward and in reverse.

    Gradients of a batch are then sums over it from the start, not of each element first. With a ``custom_vjp`` within,
    the gradient of a ``vmap`` raises a ``TypeError``.
    """

    @jax.custom_jvp
    def run(*arrays):
        return on_cpu(kernel, compiled, *arrays)

    @functools.partial(run.defjvp, symbolic_zeros=True)
    def _(arrays, tangents):
        leaves, tree = jax.tree.flatten(arrays)
        tangents = jax.tree.leaves(tangents)
        # Only of what moves: tangents that are zero, once arrays, would be computed with.
        moving = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]

        def of_moving(*values):
            moved = leaves.copy()
            for i, value in zip(moving, values, strict=True):
                moved[i] = value
            return compiled(*jax.tree.unflatten(tree, moved))

        return jax.jvp(of_moving, [leaves[i] for i in moving], [tangents[i] for i in moving])

    return run(*arrays)
