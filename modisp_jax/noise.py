"""Sensor noise: Poisson-Gaussian, by camera and ISO.

A sensor value x in [0, 1] (black at 0, white at 1) has the variance ``a x + b``: ``a`` is photon noise, ``b`` read
noise. Both differ by colour, because raw files scale their channels. Reference: A. Foi et al., "Practical
Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE TIP 2008.
"""

import csv
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import clip, clip01, safe_sqrt

ISO_GRID = 50.0 * 2.0 ** np.arange(9)
"""ISO 50 to 12800, an octave apart: where a :class:`NoiseProfiles` has its figures."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NoiseProfiles:
    """Noise of ``n`` cameras at the ``k`` = 9 speeds of :data:`ISO_GRID`, for R, G and B."""

    a: jax.Array
    """Variance per unit of signal, [n, k, 3], positive."""
    b: jax.Array
    """Variance at black, [n, k, 3], nonnegative."""


def generic_noise():
    """Profiles of three made-up sensors, small, middling and large; round figures of the size that is measured.

    ``a`` is proportional to the ISO and ``b`` to its square; red and blue are noisier than green, as files whose
    channels are scaled for white balance have it.
    """
    photon = np.array([12e-6, 3e-6, 1e-6])[:, None, None] * np.array([2.0, 1.0, 1.8])
    read = np.array([4e-9, 4e-10, 1e-10])[:, None, None] * np.array([2.0, 1.0, 2.0])
    iso = (ISO_GRID / 50.0)[:, None]
    return NoiseProfiles(jnp.asarray(photon * iso, jnp.float32), jnp.asarray(read * iso**2, jnp.float32))


def read_noise_profiles(path):
    """Reads a tab-separated table of noise figures.

    Args:
      path: a file with the columns ``maker, model, iso, a_r, a_g, a_b, b_r, b_g, b_b``, one row for a camera and ISO.

    Returns:
      A :class:`NoiseProfiles`, one for each camera in the table's order. Between the table's speeds ``log a`` is
      linear in log ISO, ``b`` in ISO^2; beyond them ``a`` goes with the ISO, ``b`` with its square. Fits can come out
      slightly negative: ``a`` is raised to 1e-8, ``b`` to 0.

    Raises:
      ValueError: no such file, a missing column, a number that is none, or no rows.
    """
    cameras = {}
    for row in read_table(path, ["maker", "model", "iso", *(f"{k}_{c}" for k in "ab" for c in "rgb")]):
        figures = cameras.setdefault((row["maker"], row["model"]), {})
        try:
            values = [float(row[f"{k}_{c}"]) for k in "ab" for c in "rgb"]
            figures.setdefault(float(row["iso"]), []).append(values)
        except ValueError as error:
            raise ValueError(f"{path}: expected numbers for {row['maker']} {row['model']}: {error}") from None
    grids = [_on_grid({iso: np.mean(rows, axis=0) for iso, rows in figures.items()}) for figures in cameras.values()]
    a, b = (np.stack(part).astype(np.float32) for part in zip(*grids, strict=True))
    return NoiseProfiles(jnp.asarray(a), jnp.asarray(b))


def read_table(path, columns):
    """Rows of a tab-separated file with a header, as dicts; raises ``ValueError`` where a column is missing."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected a tab-separated table, found no such file")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    missing = [column for column in columns if not rows or rows[0].get(column) is None]
    if missing:
        raise ValueError(f"{path}: expected the columns {', '.join(columns)}, got no {missing[0]}")
    return rows


def _on_grid(figures):
    """Figures {iso: [6]} of one camera at the speeds of ``ISO_GRID``: a [k, 3], b [k, 3]."""
    iso = np.array(sorted(figures))
    table = np.array([figures[speed] for speed in iso])
    a, b = np.maximum(table[:, :3], 1e-8), np.maximum(table[:, 3:], 0.0)
    beyond = ISO_GRID / np.clip(ISO_GRID, iso[0], iso[-1])  # 1 within the table's range
    on_grid = [
        np.stack([np.exp(np.interp(np.log(ISO_GRID), np.log(iso), np.log(a[:, c]))) * beyond for c in range(3)], -1),
        np.stack([np.interp(ISO_GRID**2, iso**2, b[:, c]) * beyond**2 for c in range(3)], -1),
    ]
    return on_grid[0], on_grid[1]


def noise_level(profiles, camera, iso):
    """Noise of one camera at any ISO, interpolated linearly in log ISO between the logarithms of the figures.

    Args:
      profiles: a :class:`NoiseProfiles`.
      camera: index of the camera, [] integer.
      iso: [], clipped to 50 .. 12800.

    Returns:
      ``(a, b)``, each [3].
    """
    position = jnp.log2(clip(jnp.asarray(iso, jnp.float32), ISO_GRID[0], ISO_GRID[-1]) / ISO_GRID[0])
    lower = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, len(ISO_GRID) - 2)
    t = position - lower

    def between(table, floor):
        log = jnp.log(jnp.maximum(table[camera], floor))
        return jnp.exp((1 - t) * log[lower] + t * log[lower + 1])

    return between(profiles.a, 1e-12), between(profiles.b, 1e-12)


def add_noise(key, image, a, b):
    """Draws what a sensor would measure: ``x + sqrt(a x + b) n``, n standard normal, clipped to [0, 1].

    Args:
      key: a JAX random key.
      image: noise-free sensor values in [0, 1], any shape.
      a, b: variance per unit of signal and at black; broadcast with ``image``.

    Returns:
      Values of the same shape in [0, 1].
    """
    deviation = safe_sqrt(a * clip01(image) + b)
    return clip01(image + deviation * jax.random.normal(key, jnp.shape(image)))
