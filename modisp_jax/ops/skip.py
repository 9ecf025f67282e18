"""Operators at strength 0: skipped when the program runs, and still differentiable there."""

import functools

import jax
import jax.numpy as jnp


def unless_zero(operator):
    """Makes ``operator(image, *strengths, **options)`` return ``image`` itself where all strengths are exactly 0.

    The choice is made when the program runs (``lax.cond``), so that a slider left at 0 costs one copy of the image
    at most and changes no bit of it. The derivative is that of ``operator`` itself: a skipped branch knows nothing of
    its strengths, and its derivative would be 0 just where a search for settings starts. So differentiation always
    runs ``operator``. Under ``vmap`` both branches run and a ``select`` chooses.

    Args:
      operator: function of an array, one or more scalar strengths, and static keyword options; returns an array of
        the image's shape and dtype, and ought to be the identity at strengths of 0.

    Returns:
      A function of the same arguments; strengths are scalars, traced or not.
    """

    @functools.wraps(operator)
    def skipping(image, *strengths, **options):
        if not strengths:
            raise ValueError(f"{operator.__name__}: expected one strength or more, got none")
        image = jnp.asarray(image)
        strengths = tuple(jnp.asarray(strength, image.dtype) for strength in strengths)
        if any(strength.shape for strength in strengths):
            raise ValueError(
                f"{operator.__name__}: expected scalar strengths, got shapes {[s.shape for s in strengths]}"
            )
        return _skip(functools.partial(operator, **options))(image, *strengths)

    return skipping


def _skip(operator):
    @jax.custom_jvp
    def skip(image, *strengths):
        return jax.lax.cond(_idle(strengths), lambda x, *_: x, operator, image, *strengths)

    @skip.defjvp
    def skip_jvp(primals, tangents):
        edited, change = jax.jvp(operator, primals, tangents)
        return jnp.where(_idle(primals[1:]), primals[0], edited), change

    return skip


def _idle(strengths):
    return functools.reduce(jnp.logical_and, [strength == 0.0 for strength in strengths])
