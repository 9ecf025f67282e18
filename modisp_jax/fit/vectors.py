"""All leaves of a tree as one vector: what is done to every number alike is one operation then, not one for each leaf.

A parameter set has hundreds of leaves. XLA writes a loop for each operation on each of them, which takes long to
compile, or launches as many kernels on a GPU.
"""

import math

import jax
import jax.numpy as jnp

from modisp_jax.kernels import packing
from modisp_jax.kernels.dispatch import on_cpu

LEAST = 64
"""Leaves from which on kernels copy them: a call takes longer than a compiled program needs for few."""


def pack(tree):
    """The numbers of a tree's leaves as one float32 vector; not differentiable. See :func:`unpack`."""
    leaves = [jnp.asarray(leaf, jnp.float32) for leaf in jax.tree.leaves(tree)]
    if not leaves:
        return jnp.zeros(0)

    def compiled(*leaves):
        return jnp.concatenate([leaf.ravel() for leaf in leaves])

    return compiled(*leaves) if len(leaves) < LEAST else on_cpu(packing.pack, compiled, *leaves)


def unpack(vector, like):
    """The tree with the numbers of a vector that :func:`pack` made; leaves have the shapes and dtypes of ``like``."""
    leaves, tree = jax.tree.flatten(like)
    shapes = [jnp.shape(leaf) for leaf in leaves]

    def compiled(vector):
        parts = jax.lax.split(vector, [math.prod(shape) for shape in shapes])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    if not leaves:
        return like
    if len(leaves) < LEAST or any(0 in shape for shape in shapes):
        found = compiled(vector)
    else:
        found = on_cpu(lambda vector: packing.unpack(vector, shapes), compiled, vector)
    return tree.unflatten(part.astype(jnp.result_type(leaf)) for part, leaf in zip(found, leaves, strict=True))


def alike(function, *trees):
    """A function of numbers, computed of all numbers of equal trees: ``function`` gets and returns vectors."""
    return unpack(function(*map(pack, trees)), trees[0])


def norm(vector):
    """``sqrt(sum(v^2))``, as a product: XLA's CPU code for a sum would add up all numbers one by one."""
    return jnp.sqrt(jnp.vdot(vector, vector, precision="highest"))
