"""The losses of a batch, sample by sample where that is faster."""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.dynamicisp.losses import filter_limit
from modisp_jax.fit.vectors import pack, unpack
from modisp_jax.kernels.dispatch import by_platform
from modisp_jax.kernels.threads import cores


def each_loss(one, params, *samples, filtered=None):
    """What ``one`` returns for each sample of a batch, stacked, as ``vmap(one, (None, 0, ...))`` has it.

    On CPUs one sample follows the other (one for every two cores, as many as divide the batch), and each has its
    gradient by ``params`` at once: what a network computes for one then stays near the core, and the memory is that of
    few samples for any batch. A batch that several devices share is not taken apart.

    Args:
      one: (params, sample, ...) -> (loss [], anything else that there is to know). Only the loss is differentiated,
        and only by ``params``.
      params: a pytree of floats; every sample's gradient is kept until the end, so it should be a small one.
      samples: pytrees of arrays [n, ...].
      filtered: static (n_r, beta) where the batch's loss is ``dynamicisp.losses.filtered_mean`` of the first n_r
        samples and the others. Under four cores then compute no gradient of those that it leaves out: three quarters
        of their time.

    Returns:
      (losses [n], the other [n, ...]).
    """
    samples = jax.lax.stop_gradient(samples)
    if jax.device_count() > 1:
        return at_once(one, params, *samples)
    in_turn = functools.partial(_in_turn, one, filtered)
    return by_platform(in_turn, functools.partial(at_once, one), params, *samples)


def at_once(one, params, *samples):
    """The same by ``vmap``, everywhere."""
    return jax.vmap(functools.partial(one, params))(*samples)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _in_turn(one, filtered, params, *samples):
    del filtered
    return _map(lambda sample: one(params, *sample), samples)


def _in_turn_forward(one, filtered, params, *samples):
    def both(sample):
        found, gradient = jax.value_and_grad(one, has_aux=True)(params, *sample)
        return found, pack(gradient)

    if filtered is None or _together(samples) > 1:
        found, gradients = _map(both, samples)
    else:
        found, gradients = _map_filtered(one, *filtered, params, samples)
    return found, (gradients, params, len(samples))


def _in_turn_backward(one, filtered, residuals, cotangents):
    """The samples' gradients, vectors [n, ...], weighted by what the batch's loss makes of each sample's."""
    del one, filtered
    gradients, params, count = residuals
    weights, _ = cotangents
    # What a filter leaves out need not be finite.
    gradients = jnp.where(weights[:, None] != 0, gradients, 0.0)
    return unpack(jnp.tensordot(weights, gradients, 1, precision="highest"), params), *(None,) * count


_in_turn.defvjp(_in_turn_forward, _in_turn_backward)


def _together(samples):
    """How many samples the cores can share."""
    count = len(jax.tree.leaves(samples)[0])
    most = max(1, cores() // 2)
    return max(k for k in range(1, min(most, count) + 1) if count % k == 0)


def _map(function, samples):
    """``jax.lax.map`` with as many samples at a time as the cores can share."""
    together = _together(samples)
    return jax.lax.map(function, samples, batch_size=together if together > 1 else None)


def _map_filtered(one, real, beta, params, samples):
    """``value_and_grad`` of each sample; zeros for the gradient of those that the filter leaves out."""
    gradient_of = jax.grad(one, has_aux=True)
    nothing = jnp.zeros_like(pack(params))

    def step(total, item):
        number, sample = item
        loss, other = one(params, *sample)
        is_real = number < real
        # A hair more than the filter's limit, whose mean may be rounded otherwise.
        kept = is_real | (loss <= 1.0001 * filter_limit(total / real, beta))
        gradient = jax.lax.cond(kept, lambda: pack(gradient_of(params, *sample)[0]), lambda: nothing)
        return total + jnp.where(is_real, loss, 0.0), ((loss, other), gradient)

    count = len(jax.tree.leaves(samples)[0])
    return jax.lax.scan(step, jnp.zeros(()), (jnp.arange(count), samples))[1]
