"""Cubic resampling along an axis on CPUs, the mathematics of ``ops/geometry.py``."""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.rows import kernel
from modisp_jax.kernels.threads import each_band


def read_cubic(image, along, other, *, axis, bits):
    """Pixels of each row (``axis`` 1) or column (0) of an image [H, W, C] by a Catmull-Rom kernel, 0 beyond its ends.

    Args:
      image: [H, W, C].
      along: int32 [n], positions in units of ``2^-bits`` pixels along ``axis``; its length becomes the axis's.
      other: int32, what each row or column adds to them.
      axis: 0 or 1.
      bits: of the fraction.
    """
    shape = list(image.shape)
    shape[axis] = along.shape[0]
    shape = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    return xla.call("modisp_read_cubic", shape, image, along, other, axis=axis, bits=bits)


def _read_cubic(image, along, other, out, axis, bits):
    rows, columns = (along, other) if axis == 0 else (other, along)
    each_band(len(out), lambda first, last: _band(image, rows, columns, axis, bits, first, last, out))


xla.register("modisp_read_cubic", _read_cubic)


@kernel
def _band(image, rows, columns, axis, bits, first, last, out):
    n = image.shape[axis]
    one = np.float32(1)
    unit = one / np.float32(1 << bits)
    weights = np.empty(4, np.float32)
    for y in range(first, last):
        for x in range(out.shape[1]):
            position = rows[y] + columns[x]
            before = (position >> bits) - 1  # the first of four pixels
            f = np.float32(position & ((1 << bits) - 1)) * unit
            g = one - f
            weights[0] = _far(one + f)
            weights[1] = _near(f)
            weights[2] = _near(g)
            weights[3] = _far(one + g)
            for c in range(image.shape[2]):
                total = np.float32(0)
                for tap in range(4):
                    k = before + tap
                    if 0 <= k < n:
                        total += weights[tap] * (image[k, x, c] if axis == 0 else image[y, k, c])
                out[y, x, c] = total


@kernel
def _near(d):
    """The Catmull-Rom kernel within a pixel."""
    return np.float32(1) + d * d * (np.float32(1.5) * d - np.float32(2.5))


@kernel
def _far(d):
    """The same between one pixel and two."""
    return np.float32(2) + d * (np.float32(-4) + d * (np.float32(2.5) - np.float32(0.5) * d))
