"""Networks of parameter files, which training goes on from or runs behind."""

import jax.numpy as jnp

from modisp_jax.checkpoints import load_params
from modisp_jax.tree import flatten


def load_network(path, entry, fresh=None):
    """Loads one network's weights.

    Args:
      path: a parameter file, or the name of a built-in set.
      entry: the network's name in it, such as ``"denoise"``.
      fresh: untrained weights, of whose shapes they must be; None: of any, where training takes the network as it is.

    Raises:
      ValueError: no such file, one without this network, or one of other shapes; says what came.
    """
    params = load_params(str(path))
    if entry not in params:
        raise ValueError(f"{path}: expected weights of {entry}, got {', '.join(params)}")
    if fresh is not None:
        _check_shapes(path, entry, params[entry], fresh)
    return params[entry]


def _check_shapes(path, entry, found, fresh):
    got, expected = ({name: jnp.shape(leaf) for name, leaf in flatten(tree).items()} for tree in (found, fresh))
    for name in sorted(got.keys() | expected.keys()):
        if got.get(name) != expected.get(name):
            here, there = (shapes.get(name, "nothing") for shapes in (expected, got))
            raise ValueError(f"{path}: expected {entry} of the experiment's shapes, {name} {here}, got {there}")
