"""Where weights come from: nothing that ships may have been trained from or behind weights that are not ours."""

import hashlib
from pathlib import Path

from modisp_jax.checkpoints import read_card

LICENCE = "Apache-2.0"


def check_ours(card, path):
    """Raises ``ValueError`` where a card says that its weights were imported, or are under another licence."""
    licence = card.get("licence", card.get("license", LICENCE))
    if licence != LICENCE:
        raise ValueError(f"{path}: expected weights of our own under {LICENCE}, got the licence {licence!r}")
    if "sources" in card or "origin" in card:
        raise ValueError(f"{path}: expected weights of our own, got imported ones ({card.get('origin', 'sources')})")


def provenance(**files):
    """For a card: file and SHA-256 of the earlier weights that a run uses, by role; roles of None are left out.

    Raises:
      ValueError: a file that is missing, no parameter set, or not ours.
    """
    used = {role: str(path) for role, path in files.items() if path is not None}
    for path in used.values():
        check_ours(read_card(path), path)
    return {role: {"file": path, "sha256": sha256(path)} for role, path in used.items()}


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
