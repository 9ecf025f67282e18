"""A fit's state on disk: one file, replaced as a whole."""

import json
import zipfile

import jax
import numpy as np

from modisp_jax.io.images import replacing


def save_state(path, state, history, identity):
    """Writes a pytree of arrays, the history (JSON-serialisable) and what the fit is known by, whole or not at all."""
    leaves = {f"leaf{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
    facts = json.dumps({"history": history, "identity": identity})
    with replacing(path, error=ValueError) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=np.array(facts), **leaves)


def load_state(path, like, identity):
    """Reads what :func:`save_state` wrote: (state, history). ``like`` gives the state's structure.

    Raises ``ValueError`` where the file is of another fit, or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            leaves = [file[f"leaf{k}"] for k in range(len(file.files) - 1)]
        theirs, history = facts["identity"], facts["history"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected the state of a fit ({error}); remove it to begin anew") from None
    if theirs != identity:
        expected = "expected the state of this fit, got that of one with other pairs, start or options"
        raise ValueError(f"{path}: {expected}; remove it to begin anew, or choose another folder")
    return jax.tree.unflatten(jax.tree.structure(like), leaves), history
