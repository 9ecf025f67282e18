"""Halo strength: how far a picture's lightness beside the strongest edges of the scene is off that further away.

A local tone map that varies smoothly across an edge lightens or darkens a band along it, although the scene is flat
there. Two things that are no halos must not count: one tone curve for the whole picture, and a side of the edge that
is rendered steeper or flatter than another. So, with x = log2(Y + 2^-8) of the scene's luma and y = L* of the picture:

1. ``r = y - T(x)``, T the curve of x that fits y best.
2. For each row and column that crosses an edge, on each flat side of it, by distance from the edge in pixels::

       h = mean(r, 2..8) - mean(r, 12..24) - s (mean(x, 2..8) - mean(x, 12..24)),   s = sum(dx dr) / sum(dx^2)

   s is the slope that the side's own detail has left in r, by central differences d along rows and columns.
3. The mean of |h|.

Means are taken over 9 pixels along the edge: halos go with an edge, noise does not.
"""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.color import RGB_TO_YCBCR, srgb_decode
from modisp_jax.numerics import clip, clip01, safe_divide
from modisp_jax.types import check_image

NEAR, FAR = (2, 8), (12, 24)
"""Distances in pixels, both included, of the band beside the edge and of the plateau. A lens draws edges 3 wide."""

SIDE = (3, 24)
"""Distances at which a side must be flat."""

ALONG = 4
"""Pixels along the edge to each side of a row or column that count with it."""

STEP = 1.5
"""Least difference across an edge in EV."""

FLATNESS = 0.2
"""Largest standard deviation of x in EV on a flat side."""

FLOOR = 2.0**-8
"""Added to the scene's luma: below is noise."""

LEAST_SIDE = 36
"""The smallest picture that has room for an edge, its sides and a margin."""

NODES = 129
"""Of the curve, over the range of x."""

_TURNS = (0, 1, 2, 3)


def halo_strength(picture, linear_small, *, local_slope=True):
    """Mean excess of lightness beside the strongest edges of the scene, in L* (0..100, about 1 is just noticeable).

    ``mean |h|`` over all flat sides of edges, see the module's head; 0 where the scene has none. Under .005 for the
    scene itself and for every tone curve of its luma; turns and mirrorings change nothing. A global rendering whose
    lightness is no function of luma (curves on R, G and B of many colours) leaves a few hundredths.

    Args:
      picture: the finished picture, sRGB [h, w, 3] in [0, 1].
      linear_small: the scene, linear sRGB [h, w, 3] in [0, 1], of the same size, at least 36 pixels a side.
      local_slope: static; False leaves out the term with s, and counts sides rendered flatter or steeper as halos.

    Raises:
      ValueError: no images, of unequal size, or too small.
    """
    excess, counted = halo_sides(picture, linear_small, local_slope=local_slope)
    return safe_divide(jnp.sum(jnp.mean(jnp.abs(excess), 2)), jnp.sum(jnp.mean(counted, 2)))


@functools.partial(jax.jit, static_argnames="local_slope")
def halo_sides(picture, linear_small, *, local_slope=True):
    """What :func:`halo_strength` is the mean of, by direction and pixel.

    Returns:
      (h where it counts, else 0 [4, h, w]; 1 where it counts, else 0 [4, h, w]). Directions are those in which the
      side lies, seen from a pixel on the edge: below, left, above, right.
    """
    size, other = check_image(picture, "picture"), check_image(linear_small, "linear_small")
    if size != other:
        raise ValueError(f"expected a picture and a scene of one size, got {size} and {other}")
    if min(size) < LEAST_SIDE:
        raise ValueError(f"expected at least {LEAST_SIDE} pixels a side, got {size}")
    x = jnp.log2(_luma(clip01(linear_small)) + FLOOR)
    y = lightness(picture)
    r = y - best_curve(x, y)
    slopes = [(_difference(x, axis), _difference(r, axis)) for axis in (0, 1)]
    dx_dx = sum(dx * dx for dx, _ in slopes)
    dx_dr = sum(dx * dr for dx, dr in slopes)
    # About the middle of its range: the variance below is a difference of means.
    fields = jnp.stack([x + 4.0, jnp.square(x + 4.0), r, dx_dx, dx_dr], axis=-1)
    found = [_below(jnp.rot90(fields, turn), local_slope) for turn in _TURNS]
    return tuple(
        jnp.stack([jnp.rot90(field, -turn) for field, turn in zip(fields, _TURNS, strict=True)])
        for fields in zip(*found, strict=True)
    )


def _below(fields, local_slope):
    """Excess and whether it counts, [h, w], of the sides below edges that run along rows."""
    h, w = fields.shape[:2]
    x = fields[..., :1]
    near, far = _window(fields, NEAR), _window(fields, FAR)
    side = _window(fields, SIDE)
    before = _window(x, (-NEAR[1], -NEAR[0]))
    across = jnp.abs(near[..., 0] - before[..., 0])
    turned = jnp.swapaxes(x, 0, 1)
    along = _window(turned, NEAR) - _window(turned, (-NEAR[1], -NEAR[0]))
    along = jnp.abs(jnp.swapaxes(along, 0, 1)[..., 0])
    is_edge = (across >= STEP) & (across >= along)
    is_flat = side[..., 1] - jnp.square(side[..., 0]) <= FLATNESS**2
    row, column = jnp.arange(h)[:, None], jnp.arange(w)[None, :]
    inside = (row >= NEAR[1]) & (row < h - SIDE[1] - 1) & (column > ALONG) & (column < w - ALONG - 1)
    difference = near - far
    excess = difference[..., 2]
    if local_slope:
        # Where a side has no detail at all (1e-4 EV from pixel to pixel), there is nothing to take away.
        excess = excess - side[..., 4] / (side[..., 3] + 1e-8) * difference[..., 0]
    counts = is_edge & is_flat & inside
    return jnp.where(counts, excess, 0.0), counts.astype(x.dtype)


def _window(fields, rows):
    """Mean of [h, w, C] over the rows at distances ``rows`` (first, last) and ``ALONG`` columns to each side."""
    first, last = rows
    for axis, (low, high) in ((0, (first, last)), (1, (-ALONG, ALONG))):
        window = [1, 1, 1]
        window[axis] = high - low + 1
        # Windows over the border hold zeros too; they are no places that count. The padding puts (low..high) in place.
        pad = [(0, 0)] * 3
        pad[axis] = (max(-low, 0), max(high, 0))
        total = jax.lax.reduce_window(fields, 0.0, jax.lax.add, window, (1, 1, 1), pad)
        start = max(low, 0)
        fields = jax.lax.slice_in_dim(total, start, start + fields.shape[axis], axis=axis) / (high - low + 1)
    return fields


def _difference(x, axis):
    """Central difference of [h, w], wrapped at the border (where nothing counts)."""
    return 0.5 * (jnp.roll(x, -1, axis) - jnp.roll(x, 1, axis))


def best_curve(x, y):
    """T(x) [h, w]: the curve of x [h, w] that fits y [h, w] best, piecewise linear between 129 nodes.

    A node's value is that of a weighted straight line fit, hat weights over its two intervals: exact where y is
    linear in x over an interval, however x is spread within it.
    """
    low, high = jnp.min(x), jnp.max(x)
    position = clip((x - low) / jnp.maximum(high - low, 1e-6), 0.0, 1.0) * (NODES - 1)
    lower = jnp.clip(jnp.floor(position), 0, NODES - 2).astype(jnp.int32)
    fraction = position - lower
    middle = jnp.mean(jnp.mean(y, axis=1))
    value = y - middle  # sums of small numbers lose fewer digits; so do those by rows

    def sums(lower, fraction, value):
        total = jnp.zeros((NODES, 5), value.dtype)
        for k, offset in ((0, fraction), (1, fraction - 1.0)):
            terms = [jnp.ones_like(value), offset, offset * offset, value, offset * value]
            total = total.at[lower + k].add((1.0 - jnp.abs(offset))[:, None] * jnp.stack(terms, -1))
        return total

    count, first, second, total, product = jnp.moveaxis(jnp.sum(jax.vmap(sums)(lower, fraction, value), 0), -1, 0)
    mean, center = safe_divide(total, count), safe_divide(first, count)
    variance = safe_divide(second, count) - center * center
    # A node all of whose pixels have one x tells no slope.
    slope = (safe_divide(product, count) - center * mean) / (jnp.maximum(variance, 0.0) + 1e-5)
    node = middle + mean - slope * center
    return (1.0 - fraction) * node[lower] + fraction * node[lower + 1]


def lightness(srgb):
    """CIE L* [...] in [0, 100] of sRGB [..., 3]. Its gradient is finite at black."""
    y = _luma(srgb_decode(srgb))
    knee = 216 / 24389
    return jnp.where(y > knee, 116.0 * jnp.cbrt(jnp.maximum(y, knee)) - 16.0, y * (24389 / 27))


def _luma(linear):
    """BT.709 luma [...] of linear sRGB [..., 3], which is CIE Y."""
    r, g, b = RGB_TO_YCBCR[0]
    return linear[..., 0] * r + linear[..., 1] * g + linear[..., 2] * b
