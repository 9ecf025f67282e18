"""A fit's state on disk: one file, replaced as a whole."""

import json
import zipfile
from pathlib import Path

import jax
import numpy as np

from modisp_jax.io.images import replacing
from modisp_jax.io.json_text import parse_json


def _check_archive(path):
    """Raises ``ValueError`` for an archive that would unpack to more than it is: :func:`save_state` packs nothing."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("packed numbers")
    if sum(member.file_size for member in members) > Path(path).stat().st_size:
        raise ValueError("numbers of more bytes than the file has")


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
    wanted = [np.asarray(leaf) for leaf in jax.tree.leaves(like)]
    try:
        _check_archive(path)
        with np.load(path, allow_pickle=False) as file:
            facts = parse_json(str(file["facts"]))
            leaves = [np.asarray(file[f"leaf{k}"]) for k in range(len(file.files) - 1)]
        theirs, history = facts["identity"], facts["history"]
    except Exception as error:  # a damaged archive makes zipfile, zlib and NumPy raise nearly anything
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise ValueError(f"{path}: expected the state of a fit ({reason}); remove it to begin anew") from None
    if theirs != identity:
        expected = "expected the state of this fit, got that of one with other pairs, start or options"
        raise ValueError(f"{path}: {expected}; remove it to begin anew, or choose another folder")
    forms = [[(leaf.shape, leaf.dtype.kind) for leaf in found] for found in (wanted, leaves)]
    if forms[0] != forms[1] or not isinstance(history, list):
        raise ValueError(f"{path}: expected the numbers of this fit's state, got others; remove it to begin anew")
    return jax.tree.unflatten(jax.tree.structure(like), leaves), history
