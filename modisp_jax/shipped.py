"""The weights that come with the package: their folder, and the shapes of what is in it."""

import collections
import functools
from pathlib import Path

from safetensors import SafetensorError, safe_open

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that ship."""


@functools.cache
def shapes():
    """What ships, by entry of a parameter set: a list of {path in the entry: shape}, from the files' headers alone.

    An entry with these shapes is complete, as the tests find for each file by a run of its network, which takes a
    second. A file that cannot be read is left out: whoever loads it is told why.
    """
    found = collections.defaultdict(list)
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                names = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError):
            continue
        entries = collections.defaultdict(dict)
        for name, shape in names.items():
            entry, _, rest = name.partition("/")
            entries[entry][rest] = shape
        for entry, own in entries.items():
            found[entry] += [own] if own not in found[entry] else []
    return dict(found)
