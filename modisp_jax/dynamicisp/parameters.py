"""A set of parameters of the functions. Their ranges are those of ``nets.function_isp``."""

import dataclasses

import jax
import jax.numpy as jnp

from modisp_jax.nets.function_isp import base_steering, in_range
from modisp_jax.resample import resize_bilinear


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FunctionParameters:
    """Parameters of the function ISP: [...] is nothing for all of an image, [h, w] for a grid over it.

    ``gain``, ``gamma``, ``contrast`` and ``tone`` are [..., 3, 3]: by parameter, then by channel R, G, B.
    """

    color: jax.Array
    """Colour matrix [..., 3, 3]."""
    gain: jax.Array
    """(x, w, h) of the gain's window."""
    gamma: jax.Array
    """(g1, g2, k) of the gamma curve."""
    contrast: jax.Array
    """(x, w, h) of the contrast's window."""
    tone: jax.Array | None = None
    """(g3, g4, k2) of inverse tone mapping, for enhancement."""


def base_parameters(config):
    """The :class:`FunctionParameters` at which training starts."""
    return from_flat({name: in_range(name, jnp.asarray(t), config) for name, t in base_steering(config).items()})


def from_flat(parameters):
    """:class:`FunctionParameters` from arrays [..., 9] by name."""
    return FunctionParameters(**{name: p.reshape(*p.shape[:-1], 3, 3) for name, p in parameters.items()})


def at_pixels(parameters, size):
    """A grid's parameters for each pixel of an image: [h, w, 3, 3] to [*size, 3, 3], bilinear, half-pixel centres.

    Parameters of all of an image, [3, 3], are returned as they are. Every value between two of a range is in it, and
    a mean of diagonally dominant matrices is one.
    """
    if parameters.color.ndim == 2:
        return parameters
    spread = lambda p: resize_bilinear(p.reshape(*p.shape[:2], 9), size, align="centers").reshape(*size, 3, 3)  # noqa: E731
    return jax.tree.map(spread, parameters)
