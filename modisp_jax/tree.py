"""Parameter trees as flat dicts."""

import jax


def flatten(params):
    """Turns the nested dict into a flat one whose keys are paths such as ``denoise/in_conv/kernel``."""
    paths = jax.tree_util.tree_flatten_with_path(params)[0]
    return {"/".join(str(part.key) for part in path): leaf for path, leaf in paths}


def unflatten(flat):
    """Inverse of :func:`flatten`."""
    params = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return params
