"""From a number to a case: which reader, which seed, which damage. The same seed and number give the same bytes."""

import dataclasses

import numpy as np

from tests.fuzz import mutate, structured
from tests.fuzz.readers import READERS


@dataclasses.dataclass(frozen=True)
class Case:
    number: int
    reader: str
    name: str
    """Of the file that is read."""
    files: dict
    """Name to bytes, damaged."""
    damage: str
    """What was done, in a word."""


def make_case(number, seed, seeds, readers=None):
    """Case ``number`` of the fuzz run ``seed``; ``readers`` restricts the rows."""
    rng = np.random.default_rng([seed, number])
    names = list(READERS if readers is None else readers)
    names = [name for name in names if any(s.kind in READERS[name].kinds for s in seeds)]
    weights = np.array([READERS[name].weight if readers is None else 1.0 for name in names])
    reader = names[rng.choice(len(names), p=weights / weights.sum())]
    fitting = [s for s in seeds if s.kind in READERS[reader].kinds]
    chosen = fitting[rng.integers(len(fitting))]
    files = dict(chosen.files)
    victim = list(files)[rng.integers(len(files))]
    damaged, how = _damage(rng, files[victim], victim, seeds)
    files[victim] = damaged
    return Case(number, reader, chosen.name, files, f"{how} {victim}")


def _damage(rng, data, name, seeds):
    suffix = "." + name.rsplit(".", 1)[-1]
    made = structured.damage(rng, data, suffix) if rng.random() < 0.5 else None
    how = "structured" if made is not None else ""
    if made is None or rng.random() < 0.15:
        blind = mutate.BLIND[rng.integers(len(mutate.BLIND))]
        other = seeds[rng.integers(len(seeds))]
        other = next(iter(other.files.values()))
        made = blind(rng, data if made is None else made, other)
        how = f"{how} {blind.__name__}".strip()
    return made, how
