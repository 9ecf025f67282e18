"""SOAP: Adam in the eigenbasis of each matrix of weights, for fewer steps where steps are dear.

N. Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv 2409.11321. The bases follow their
covariances by one step of orthogonal iteration at each update.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

LARGEST = 256
"""Rows or columns up to which a side of a matrix is turned; a longer one stays as it is."""

FLOOR = 1e-4
"""Of a matrix's root mean square: what is smaller in its eigenbasis is rounding, not gradient."""

EPSILON = 1e-8


class SoapState(NamedTuple):
    """``count`` steps were done; ``leaves`` has a :class:`Leaf` for each parameter."""

    count: jax.Array
    leaves: Any


class Leaf(NamedTuple):
    """Of one parameter: the gradient's mean [like it], its square [m, n] in the bases, and (covariance, basis) of
    either side, () of one that is not turned."""

    mean: jax.Array
    square: jax.Array
    left: tuple
    right: tuple


def scale_by_soap(beta1, beta2):
    """Updates by SOAP, ``U (A / sqrt(B)) V^T`` with A and B the decaying means of ``U^T G V`` and of its squares.

    U and V are the eigenvectors of the decaying means of ``G G^T`` and ``G^T G`` of a gradient G. A kernel of any
    number of axes is a matrix [all but the last, last]; vectors have Adam's update.

    Args:
      beta1: decay of the gradient's mean.
      beta2: decay of its square, and of the covariances.

    Returns:
      An optax ``GradientTransformation``; a learning rate that suits Adam suits it.
    """

    # No update of Adam's is larger, by Cauchy and Schwarz. Here one could be, where a basis has just turned: what is
    # known of the squares is of the basis before.
    bound = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2)) if beta1**2 < beta2 else math.inf

    def init(params):
        return SoapState(jnp.zeros((), jnp.int32), jax.tree.map(_first, params))

    def update(gradient, state, params=None):
        del params
        done = state.count + 1

        def followed(g, leaf):
            matrix = _matrix(g)
            left = _follow(leaf.left, matrix, beta2, state.count)
            right = _follow(leaf.right, matrix.T, beta2, state.count)
            square = optax.update_moment(_turned(matrix, left, right), leaf.square, beta2, 2)
            return Leaf(optax.update_moment(g, leaf.mean, beta1, 1), square, left, right)

        def step(g, leaf):
            mean = _turned(_matrix(leaf.mean) / (1 - beta1**done), leaf.left, leaf.right)
            root = jnp.sqrt(leaf.square / (1 - beta2**done))
            if leaf.left or leaf.right:
                root = jnp.maximum(root, FLOOR * jnp.sqrt(jnp.mean(jnp.square(root))))
            change = jnp.clip(mean / (root + EPSILON), -bound, bound)
            return _turned_back(change, leaf.left, leaf.right).reshape(g.shape)

        leaves = jax.tree.map(followed, gradient, state.leaves)
        return jax.tree.map(step, gradient, leaves), SoapState(done, leaves)

    return optax.GradientTransformation(init, update)


def _matrix(x):
    """[m, n] of any number of axes; a vector is one row."""
    return x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)


def _first(x):
    def side(n):
        return (jnp.zeros((n, n), x.dtype), jnp.eye(n, dtype=x.dtype)) if x.ndim > 1 and 1 < n <= LARGEST else ()

    matrix = _matrix(x)
    return Leaf(jnp.zeros_like(x), jnp.zeros_like(matrix), *map(side, matrix.shape))


def _follow(side, matrix, decay, count):
    """(covariance, basis) of the rows of one more gradient; the columns of the basis from large to small."""
    if not side:
        return side
    covariance, basis = side
    covariance = decay * covariance + (1 - decay) * _product(matrix, matrix.T)

    def exact():
        return jnp.linalg.eigh(covariance)[1][:, ::-1]

    def refined():
        return jnp.linalg.qr(_product(covariance, basis))[0]

    return covariance, jax.lax.cond(count == 0, exact, refined)


def _turned(matrix, left, right):
    """In the bases."""
    matrix = _product(left[1].T, matrix) if left else matrix
    return _product(matrix, right[1]) if right else matrix


def _turned_back(matrix, left, right):
    matrix = _product(left[1], matrix) if left else matrix
    return _product(matrix, right[1].T) if right else matrix


def _product(a, b):
    return jnp.matmul(a, b, precision="highest")
