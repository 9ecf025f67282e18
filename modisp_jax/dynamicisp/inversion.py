"""Increasing curves undone numerically, with the derivatives of the solution and not of the iteration."""

import functools

import jax
import jax.numpy as jnp

DARK = 1e-8
"""Under this, a curve given by its logarithm is a line to 0: its slope at black may have no limit."""


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def invert_log_curve(log_curve, solve, steps, image, *parameters):
    """The ``i`` in [0, 1] with ``log_curve(i, *parameters) = ln image``, by Newton's method.

    Args:
      log_curve: (i, *parameters) -> ``ln f(i)``, increasing in i, 0 at i = 1.
      solve: (ln y, *parameters) -> (Newton step for ``fori_loop``, start, function from what it finds to i).
      steps: static number of steps.
      image: y, [..., 3] in [0, 1].
      parameters: arrays that broadcast against it.

    Returns:
      [..., 3] in [0, 1]; where y is under f(1e-8), on the line to 0. The derivatives follow from the implicit function:
      ``di/dy = 1 / (y L_i)``, ``di/dp = -L_p / L_i`` with L the log curve; they are 0 where y < 1e-8.
    """
    darkest = jnp.exp(log_curve(jnp.asarray(DARK, image.dtype), *parameters))
    floor = jnp.maximum(darkest, jnp.finfo(image.dtype).tiny)  # a steep curve underflows; the logarithm must not
    step, start, finish = solve(jnp.log(jnp.maximum(image, floor)), *parameters)
    found = finish(jax.lax.fori_loop(0, steps, step, start))
    return jnp.where(image < floor, image * (DARK / floor), jnp.clip(found, 0.0, 1.0))


@invert_log_curve.defjvp
def _invert_jvp(log_curve, solve, steps, primals, tangents):
    (image, *parameters), (d_image, *d_parameters) = primals, tangents
    found = invert_log_curve(log_curve, solve, steps, image, *parameters)
    usable = (image >= DARK) & (found >= DARK)
    i, y = (jnp.where(usable, x, 0.5) for x in (found, image))
    _, slope = jax.jvp(lambda i: log_curve(i, *parameters), (i,), (jnp.ones_like(i),))
    _, moved = jax.jvp(lambda *p: log_curve(i, *p), tuple(parameters), tuple(d_parameters))
    return found, jnp.where(usable, (d_image / y - moved) / slope, 0.0)


def bisect_increasing(curve, image, *, iterations=30):
    """The ``i`` in [0, 1] with ``curve(i) = image`` by halving [0, 1]; without derivatives. To check Newton's method.

    Args:
      curve: increasing function of arrays like ``image`` that keeps 0 and 1.
      image: [..., 3] in [0, 1].
      iterations: halvings; the error is at most ``2^-(iterations + 1)``, and what the dtype resolves.
    """

    def halve(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        over = curve(middle) > image
        return jnp.where(over, low, middle), jnp.where(over, middle, high)

    low, high = jax.lax.fori_loop(0, iterations, halve, (jnp.zeros_like(image), jnp.ones_like(image)))
    return 0.5 * (low + high)
