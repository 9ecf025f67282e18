"""Picture sheets: rows of pictures under headings, to look at."""

import numpy as np
from PIL import Image, ImageDraw

GAP, HEAD = 4, 16


def columns(rows, titles, *, height=192):
    """Pictures [H, W, 3] in [0, 1], row by row, each scaled to ``height``, under their columns' titles.

    Args:
      rows: lists of pictures; a row may be shorter than ``titles``.
      titles: one a column.
      height: of each picture in pixels; pictures that are not taller are enlarged without smoothing.

    Returns:
      The sheet, [H, W, 3] float32 in [0, 1].
    """
    tiles = [[_scaled(picture, height) for picture in row] for row in rows]
    widths = [max(row[k].width for row in tiles if k < len(row)) for k in range(len(titles))]
    size = (sum(widths) + GAP * (len(titles) + 1), HEAD + (height + GAP) * len(tiles) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    left = [GAP + sum(widths[:k]) + GAP * k for k in range(len(titles))]
    for x, title in zip(left, titles, strict=True):
        draw.text((x, 2), title, fill="black")
    for i, row in enumerate(tiles):
        for x, tile in zip(left, row, strict=False):
            sheet.paste(tile, (x, HEAD + GAP + i * (height + GAP)))
    return np.asarray(sheet, np.float32) / 255.0


def _scaled(picture, height):
    pixels = np.round(np.clip(np.nan_to_num(np.asarray(picture)), 0, 1) * 255).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    image = Image.fromarray(pixels)
    width = max(1, round(image.width * height / image.height))
    return image.resize((width, height), Image.Resampling.BOX if image.height > height else Image.Resampling.NEAREST)
