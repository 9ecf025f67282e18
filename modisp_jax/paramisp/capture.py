"""Exposure data of a photo, and the functions of them that ParamNet sees. Paper section 3.2, supplement S1."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.nets.paramisp import PARAMETERS
from modisp_jax.numerics import clip


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Capture:
    """How a photo was exposed. NaN, the default, or a value that is not over 0 stands for unknown."""

    exposure_time: Any = math.nan
    """Seconds, []."""
    f_number: Any = math.nan
    """Focal length over the aperture's diameter, []."""
    iso: Any = math.nan
    """Sensor speed, []."""
    focal_length: Any = math.nan
    """Millimetres, as EXIF has it: not the equivalent of another format, []."""


RANGES = {"focal_length": (4.2, 200.0), "f_number": (1.7, 32.0), "exposure_time": (1 / 28800, 30.0), "iso": (64.0, 8e3)}
"""Usual least and largest values, lo and hi."""

_LOGARITHM = {"focal_length": (1.9, 5.8), "f_number": (0.7, 4.3), "exposure_time": (-15.0, 20.0), "iso": (6.0, 7.0)}
"""Of the base-2 logarithm: what is subtracted, and what it is divided by then, m and r."""

_PERIODS = {"focal_length": (50, 30, 20), "f_number": (11, 5, 2), "exposure_time": (11, 5, 2), "iso": (3100, 1300, 500)}
"""Divisors d in sin(x / d) and cos(x / d)."""

LEAST, MOST = 1e-12, 1e12
"""Values are clipped to this range, in which all functions of them are finite."""


def capture_of(metadata):
    """The :class:`Capture` of a ``RawMetadata`` (of a raw file or a finished photo), Python numbers."""
    known = {name: getattr(metadata, name) for name in PARAMETERS}
    return Capture(**{name: math.nan if value is None else float(value) for name, value in known.items()})


def as_array(capture):
    """The exposure data as [4], in the order of :data:`PARAMETERS`; unknown ones are NaN."""
    return jnp.stack([jnp.asarray(getattr(capture, name), jnp.float32) for name in PARAMETERS])


def from_array(values):
    """Inverse of :func:`as_array`."""
    return Capture(**{name: values[i] for i, name in enumerate(PARAMETERS)})


def equalize(capture, config):
    """What ParamNet takes of the exposure data: (functions [4, 15], which of them are known [4]).

    Of each parameter x, with lo, hi, m, r and three d of its own:
    ``x/hi, (x/hi)^(1/2), (x/hi)^(1/4), lo/x, (lo/x)^(1/2), (lo/x)^(1/4), (log2 x - m) / r, sin log2 x, cos log2 x,
    sin(x/d1), cos(x/d1), sin(x/d2), cos(x/d2), sin(x/d3), cos(x/d3)``; sines and cosines mapped to [0, 1] where
    ``config.unit_sinusoids``. Without ``config.equalized`` only the first, [4, 1]. What is unknown counts as lo, so
    that it stays finite, and has a 0 in the second array.

    Args:
      capture: a :class:`Capture`.
      config: a ``ParamISPConfig``.

    Source: facts 1.5.
    """
    x = as_array(capture)
    known = x > 0  # also of NaN
    lo, hi = (jnp.asarray([RANGES[name][k] for name in PARAMETERS], jnp.float32) for k in (0, 1))
    x = clip(jnp.where(known, x, lo), LEAST, MOST)
    if not config.equalized:
        return (x / hi)[:, None], known.astype(jnp.float32)
    m, r = (np.array([_LOGARITHM[name][k] for name in PARAMETERS], np.float32) for k in (0, 1))
    d = np.array([_PERIODS[name] for name in PARAMETERS], np.float32)
    log = jnp.log2(x)
    phase = x[:, None] / d
    turns = jnp.stack([jnp.sin(phase), jnp.cos(phase)], axis=-1).reshape(len(PARAMETERS), -1)
    waves = jnp.concatenate([jnp.sin(log)[:, None], jnp.cos(log)[:, None], turns], axis=1)
    if config.unit_sinusoids:
        waves = 0.5 + 0.5 * waves
    roots = [ratio**exponent for ratio in (x / hi, lo / x) for exponent in (1.0, 0.5, 0.25)]
    rows = jnp.stack([*roots, (log - m) / r], axis=1)
    return jnp.concatenate([rows, waves], axis=1), known.astype(jnp.float32)
