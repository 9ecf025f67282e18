"""The losses of a batch, sample by sample where that is faster."""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.kernels.dispatch import by_platform
from modisp_jax.kernels.threads import cores


def each_loss(one, params, *samples):
    """What ``one`` returns for each sample of a batch, stacked, as ``vmap(one, (None, 0, ...))`` has it.

    On CPUs one sample follows the other (one for every two cores, as many as divide the batch), and each has its
    gradient by ``params`` at once: what a network computes for one then stays near the core, and the memory is that of
    few samples for any batch. A batch that several devices share is not taken apart.

    Args:
      one: (params, sample, ...) -> (loss [], anything else that there is to know). Only the loss is differentiated,
        and only by ``params``.
      params: a pytree of floats; every sample's gradient is kept until the end, so it should be a small one.
      samples: pytrees of arrays [n, ...].

    Returns:
      (losses [n], the other [n, ...]).
    """
    samples = jax.lax.stop_gradient(samples)
    if jax.device_count() > 1:
        return at_once(one, params, *samples)
    return by_platform(functools.partial(_in_turn, one), functools.partial(at_once, one), params, *samples)


def at_once(one, params, *samples):
    """The same by ``vmap``, everywhere."""
    return jax.vmap(functools.partial(one, params))(*samples)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_turn(one, params, *samples):
    return _map(lambda sample: one(params, *sample), samples)


def _in_turn_forward(one, params, *samples):
    both = jax.value_and_grad(one, has_aux=True)
    found, gradients = _map(lambda sample: both(params, *sample), samples)
    return found, (gradients, len(samples))


def _in_turn_backward(one, residuals, cotangents):
    """The samples' gradients [n, ...], weighted by what the batch's loss makes of each sample's."""
    del one
    gradients, count = residuals
    weights, _ = cotangents

    def weighted(gradient):
        # What a filter leaves out need not be finite.
        counts = (weights != 0).reshape(-1, *(1,) * (gradient.ndim - 1))
        gradient = jnp.where(counts, gradient, 0.0)
        return jnp.tensordot(weights, gradient, 1, precision="highest").astype(gradient.dtype)

    return jax.tree.map(weighted, gradients), *(None,) * count


_in_turn.defvjp(_in_turn_forward, _in_turn_backward)


def _map(function, samples):
    """``jax.lax.map`` with as many samples at a time as the cores can share."""
    count = len(jax.tree.leaves(samples)[0])
    most = max(1, cores() // 2)
    together = max(k for k in range(1, min(most, count) + 1) if count % k == 0)
    return jax.lax.map(function, samples, batch_size=together if together > 1 else None)
