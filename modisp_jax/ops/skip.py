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
        return _skip(operator, tuple(options.items()))(image, *strengths)

    return skipping


@functools.lru_cache(maxsize=256)
def _skip(operator, options):
    """One function for each operator and options: a new one for every call would be compiled anew outside ``jit``."""
    operator = functools.partial(operator, **dict(options))

    @jax.custom_jvp
    def skip(image, *strengths):
        return jax.lax.cond(_idle(strengths), _image, operator, image, *strengths)

    @skip.defjvp
    def skip_jvp(primals, tangents):
        edited, change = jax.jvp(operator, primals, tangents)
        return jnp.where(_idle(primals[1:]), primals[0], edited), change

    return skip


def _image(image, *strengths):
    del strengths
    return image


def _idle(strengths):
    return functools.reduce(jnp.logical_and, [strength == 0.0 for strength in strengths])
