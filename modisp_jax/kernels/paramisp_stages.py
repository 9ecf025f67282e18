"""The closed forms of ParamISP's GlobalNet on CPUs, ``paramisp/stages.py``, in one pass over the image, in place."""

import jax
import numpy as np

from modisp_jax.kernels import xla
from modisp_jax.kernels.rows import CHUNK, kernel
from modisp_jax.kernels.threads import each_band

LIMIT, LEAST = np.float32(64), np.float32(1e-6)
"""Of colours, and of what powers are taken of, as in ``paramisp.stages``."""

LINEAR = (3, 6, 8)
"""Which terms of a quadratic are r, g and b."""

HALF_ROOT = np.int32(np.float32(np.sqrt(0.5)).view(np.int32))
TO_LOG2 = 2 / np.log(2)
A1, A3, A5, A7, A9 = (np.float32(TO_LOG2 / n) for n in (1, 3, 5, 7, 9))
E1, E2, E3, E4, E5, E6, E7 = (np.float32(np.log(2) ** n / np.prod(np.arange(1, n + 1))) for n in range(1, 8))


def apply_stages(quadratics, curves, image, *, residual):
    """GlobalNet's stages within a JAX program on the CPU; not differentiable.

    Args:
      quadratics: [S, 10, 3], within their limits.
      curves: [S, 4, 3]: gamma, a, b and what is subtracted, of ``paramisp.stages.curve``.
      image: [H, W, 3]; the result takes its place where it is not needed any more.
      residual: whether a quadratic is added to its input.
    """
    shape = jax.ShapeDtypeStruct(image.shape, image.dtype)
    return xla.call("modisp_paramisp_stages", shape, image, quadratics, curves, in_place=True, residual=residual)


def _on_buffers(image, quadratics, curves, out, *, residual):
    each_band(len(image), lambda *rows: _stages_band(image, quadratics, curves, residual, out, *rows))


xla.register("modisp_paramisp_stages", _on_buffers)


@kernel
def _power(x, exponent, y, bits, n):
    """``y = x^exponent`` for ``x`` from 1e-6 on: relative to 3e-7, whatever the exponent within +-8.

    Of ``x = 2^e m`` the whole powers of two are split off before anything is rounded: the first bits of the exponent
    times ``e`` are exact.
    """
    first = np.float32(np.int32(exponent * np.float32(4096))) / np.float32(4096)
    rest = exponent - first
    source, parts = x.view(np.int32), bits.view(np.float32)
    for p in range(n):
        e = (source[p] - HALF_ROOT) >> np.int32(23)
        bits[p] = source[p] - (e << np.int32(23))
        y[p] = np.float32(e)
    for p in range(n):
        s = (parts[p] - np.float32(1)) / (parts[p] + np.float32(1))
        q = s * s
        logarithm = s * (A1 + q * (A3 + q * (A5 + q * (A7 + q * A9))))
        whole = first * y[p]
        k = np.int32(whole + exponent * logarithm + np.float32(1024.5)) - np.int32(1024)
        k = max(k, np.int32(-126))
        r = (whole - np.float32(k)) + (rest * y[p] + exponent * logarithm)
        y[p] = np.float32(1) + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * E7))))))
        bits[p] = (k + np.int32(127)) << np.int32(23)
    for p in range(n):
        y[p] *= parts[p]


@kernel
def _held(x, held, n):
    for p in range(n):
        v = -LIMIT if x[p] < -LIMIT else x[p]
        held[p] = LIMIT if v > LIMIT else v


@kernel
def _curve(x, held, curve, c, size, bits, y, n):
    """A stage's curve on a channel, in place."""
    gamma, a, b, low = curve[0, c], curve[1, c], curve[2, c], curve[3, c]
    one = np.float32(1)
    _held(x, held, n)
    for p in range(n):
        t = abs(a * held[p] + b)
        size[p] = LEAST if t < LEAST else t
    _power(size, gamma - one, y, bits, n)
    for p in range(n):
        t = a * held[p] + b
        x[p] = (t * y[p] - low) / (one - low) + (x[p] - held[p])


@kernel
def _quadratic(colours, held, weights, c, residual, target, n):
    """Channel ``c`` of a stage's quadratic; ``weights`` [10, 3]."""
    w = weights[:, c]
    w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9]
    own = np.float32(1 if residual else 0)
    beyond = own + min(max(w[LINEAR[c]], np.float32(0)), np.float32(1))
    red, green, blue, before, inside = held[0], held[1], held[2], colours[c], held[c]
    for p in range(n):
        r, g, b = red[p], green[p], blue[p]
        total = r * (w0 * r + w1 * g + w2 * b + w3) + g * (w4 * g + w5 * b + w6) + b * (w7 * b + w8)
        target[p] = total + w9 + own * inside[p] + beyond * (before[p] - inside[p])


@kernel
def _stages_band(image, quadratics, curves, residual, out, first, last):
    width = image.shape[1]
    colours = np.empty((3, CHUNK), np.float32)
    held, mixed = np.empty_like(colours), np.empty_like(colours)
    size, y, bits = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32), np.empty(CHUNK, np.int32)
    for row in range(first, last):
        for start in range(0, width, CHUNK):
            n = min(CHUNK, width - start)
            colours[:, :n] = image[row, start : start + n].T
            for s in range(len(quadratics)):
                for c in range(3):
                    _held(colours[c], held[c], n)
                for c in range(3):
                    _quadratic(colours, held, quadratics[s], c, residual, mixed[c], n)
                for c in range(3):
                    _curve(mixed[c], held[c], curves[s], c, size, bits, y, n)
                colours, mixed = mixed, colours
            out[row, start : start + n] = colours[:, :n].T
