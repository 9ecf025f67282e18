"""A window of the full-size picture, quickly: from the full-size raw, denoised as it was, and the proxy's decisions.

What photofinishing makes of the proxy, as a grid of colour models, is applied to a window of the full-size picture tile
by tile, so that one program serves windows of any size. The detail is that which the enhancement added to an earlier
full-size picture. Near what rendering gives, not the same: the proxy's grid has fewer nodes.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from modisp_jax.color import luma, rgb_to_ycbcr
from modisp_jax.editor.pieces import number, quantized
from modisp_jax.editor.recipe import recipe_of
from modisp_jax.kernels import grid as kernels
from modisp_jax.kernels.dispatch import on_cpu
from modisp_jax.numerics import clip01, mix
from modisp_jax.pipeline import expose_raw, to_linear
from modisp_jax.stages.edits import OPERATORS
from modisp_jax.types import Raw

TILE = 512
"""Side of a tile in pixels."""

MARGIN = 4
"""Pixels of a tile that its neighbours show: sharpening looks three pixels far."""

SLIDERS = ("exposure", "denoise", "enhance", "sharpening")
"""Sliders of a tile's program."""

LARGEST = 4_000_000
"""Pixels of a window up to which this is quick."""


def window_pixels(table, desk, recipe, box):
    """uint8 [height, width, 3] of the rotated full-size picture, as stored; None where this cannot be quick.

    Args:
      table, desk: the worktops of the full-size photo and of the proxy.
      recipe: of the settings.
      box: (top, left, height, width) in pixels of the rotated full-size picture.
    """
    kept = table.rescaled(recipe)
    size = table.image.shape[:2]
    inner = box if recipe["rotation"] == 0 else _seen_by(box, recipe["rotation"], size)
    if kept is None or inner[2] * inner[3] > LARGEST:
        return None
    held = desk.hold(recipe)
    fit, (_, _, ev) = desk.want("grid", held), desk.want("adjusted", held)
    pair = table.kept("enhanced") or (table.image, table.image)
    denoised, ratio = kept
    light = table.lights.find(recipe["white_balance"])
    raw = Raw(None, light.illuminant, light.ccm, table.saturation)
    sliders = {name: number(recipe[name]) for name in SLIDERS}
    static = {"clipped_highlights": recipe["clipped_highlights"], "operators": recipe["operators"]}
    top, left, height, width = inner
    found = np.empty((height, width, 3), np.uint8)
    tile = tuple(min(TILE, side) for side in size)
    for y, row in _tiles(top, height, tile[0], size[0]):
        for x, column in _tiles(left, width, tile[1], size[1]):
            start = np.int32(row), np.int32(column)
            pictures = (table.image, denoised, *pair)
            pixels = _tile(pictures, start, ratio, raw, number(ev), fit, sliders, tile=tile, **static)
            _paste(found, np.asarray(pixels), row - top, column - left, y - top, x - left)
    return found if recipe["rotation"] == 0 else _turned(found, inner, box, recipe["rotation"], size)


def warm_window(table, desk, operators, highlights):
    """Compiles what windows of a photo need; ``operators`` and ``highlights`` are all that there are."""
    recipe = recipe_of({})
    light = table.lights.find(recipe["white_balance"])
    raw = Raw(None, light.illuminant, light.ccm, table.saturation)
    pictures, start = (table.image,) * 4, (np.int32(0), np.int32(0))
    sliders = {name: number(recipe[name]) for name in SLIDERS}
    tile = tuple(min(TILE, side) for side in table.image.shape[:2])
    desk.begin()
    fit = desk.want("grid", recipe)
    desk.end()
    for one in operators:
        for other in highlights:
            static = {"tile": tile, "operators": one, "clipped_highlights": other}
            _tile(pictures, start, number(1), raw, number(0), fit, sliders, **static)


def _tiles(first, length, tile, size):
    """(first pixel that a tile shows, first pixel that it has) of tiles that cover a stretch of an axis of ``size``."""
    if tile <= 2 * MARGIN or tile == size:
        return [(first, 0)]
    shown = range(first, first + length, tile - 2 * MARGIN)
    return [(pixel, min(max(pixel - MARGIN, 0), size - tile)) for pixel in shown]


def _paste(found, pixels, row, column, y, x):
    """Pastes a tile, whose corner lies at (row, column) of the window, from (y, x) on."""
    bottom, right = min(row + pixels.shape[0], found.shape[0]), min(column + pixels.shape[1], found.shape[1])
    found[y:bottom, x:right] = pixels[y - row : bottom - row, x - column : right - column]


@functools.partial(jax.jit, static_argnames=("tile", "clipped_highlights", "operators"))
def _tile(pictures, start, ratio, raw, ev, fit, sliders, tile, clipped_highlights, operators):
    """uint8 [*tile, 3] at ``start`` of ``pictures``: raw, denoised raw, picture before and after its enhancement."""
    size = pictures[0].shape[:2]
    image, denoised, before, after = (jax.lax.dynamic_slice(p, (*start, 0), (*tile, 3)) for p in pictures)
    exposed = expose_raw(image, sliders["exposure"])
    found = to_linear(mix(exposed, ratio * denoised, sliders["denoise"]), raw, sliders["exposure"], clipped_highlights)
    found = OPERATORS[operators].expose(found, ev)
    srgb = apply_at(fit[0], found, start, size)
    srgb = jnp.where(fit[1], rgb_to_ycbcr(srgb)[..., :1], srgb)
    srgb = clip01(srgb + sliders["enhance"] * (after - before))
    return quantized(OPERATORS[operators].sharpen(srgb, sliders["sharpening"]))


def apply_at(grid, image, start, size):
    """``pipeline.apply_upsampling``'s grid on a tile [h, w, 3] at ``start`` of a picture of ``size``, in [0, 1]."""
    nodes = grid.shape
    at = [places(first, n, gn, of) for first, n, gn, of in zip(start, image.shape, nodes, size, strict=False)]
    depth = luma(image) * (nodes[2] - 1)
    models = grid.reshape(*nodes[:3], 12)
    return clip01(on_cpu(_by_kernel, by_gather, models, depth, image, *at[0], *at[1]))


def places(first, n, nodes, size):
    """Lower and upper node, and the fraction between them, of ``n`` pixels from ``first`` of an axis of ``size``."""
    position = (first + jnp.arange(n) + 0.5) * ((nodes - 1) / size)
    lower = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, max(nodes - 2, 0))
    return lower, jnp.minimum(lower + 1, nodes - 1), position - lower


def _by_kernel(models, depth, image, *places):
    return kernels.slice_affine(places[:3], places[3:], models, depth, image, border=False)


def by_gather(models, depth, image, top, bottom, down, left, right, across):
    """The same by gathers; a tile is small enough to hold the twelve coefficients of all its pixels."""
    last = models.shape[2] - 1
    depth = jnp.clip(depth, -1.0, last + 1.0)
    below = jnp.floor(depth)
    fraction = (depth - below)[..., None]

    def plane(k):
        exists = ((k >= 0) & (k <= last))[..., None]
        k = jnp.clip(k, 0, last)
        read = lambda rows, columns: models[rows[:, None], columns[None, :], k]  # noqa: E731
        t, s = down[:, None, None], across[None, :, None]
        upper = (1 - s) * read(top, left) + s * read(top, right)
        lower = (1 - s) * read(bottom, left) + s * read(bottom, right)
        return jnp.where(exists, (1 - t) * upper + t * lower, 0)

    k = below.astype(jnp.int32)
    model = ((1 - fraction) * plane(k) + fraction * plane(k + 1)).reshape(*depth.shape, 3, 4)
    return sum(model[..., c] * image[..., c, None] for c in range(3)) + model[..., 3]


def affine(degrees, size):
    """(cosine / zoom, sine / zoom, centre row, centre column) of ``ops.geometry.rotate``."""
    angle = math.radians(degrees)
    height, width = (max(side - 1, 1) for side in size)
    zoom = math.cos(angle) + max(height, width) / min(height, width) * abs(math.sin(angle))
    return math.cos(angle) / zoom, math.sin(angle) / zoom, height / 2, width / 2


def _seen_by(box, degrees, size):
    """The box of the picture before the rotation that holds all that a box of the rotated one shows."""
    c, s, middle_row, middle_column = affine(degrees, size)
    top, left, height, width = box
    corners = [(y - middle_row, x - middle_column) for y in (top, top + height) for x in (left, left + width)]
    rows = [middle_row + c * v - s * u for v, u in corners]
    columns = [middle_column + c * u + s * v for v, u in corners]
    spans = []
    for values, n in ((rows, size[0]), (columns, size[1])):
        first = min(max(math.floor(min(values)) - 3, 0), n - 1)
        spans.append((first, min(math.ceil(max(values)) + 3, n) - first))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _turned(pixels, inner, box, degrees, size):
    """The box of the rotated picture, of the pixels of ``inner`` before the rotation."""
    c, s, middle_row, middle_column = affine(degrees, size)
    top, left, height, width = box
    # Pillow reads output pixel (x, y) at (a x' + b y' + c, d x' + e y' + f), x' = x + .5, pixels' corners at whole
    # numbers; rotate counts from pixels' centres.
    u, v = left - 0.5 - middle_column, top - 0.5 - middle_row
    across = middle_column + 0.5 - inner[1] + c * u + s * v
    down = middle_row + 0.5 - inner[0] + c * v - s * u
    data = (c, s, across, -s, c, down)
    turned = Image.fromarray(pixels).transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    return np.asarray(turned)
