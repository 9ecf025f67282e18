"""Sheets to look at: rows of pictures with a few words above each."""

import numpy as np

from modisp_jax.io.images import quantize

MARGIN = 12
LINE = 20
"""Height of a line of text in pixels."""

BACKGROUND, BRIGHT, DIM = (32, 32, 32), (255, 255, 255), (176, 176, 176)


def draw_sheet(rows):
    """Pictures in rows and columns, as large as they are; a column is as wide as its widest picture.

    Args:
      rows: list of (caption, cells), a caption of "" taking no space; cells is a list of (lines, picture): texts to
        stand above the picture, cut at its column's width, and the picture, [h, w] or [h, w, 3] in [0, 1].

    Returns:
      The sheet, [H, W, 3] float32 in [0, 1].
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = max(len(cells) for _, cells in rows)
    widths = [max(cells[k][1].shape[1] for _, cells in rows if k < len(cells)) for k in range(columns)]
    lefts = np.cumsum([MARGIN, *(width + MARGIN for width in widths)]).tolist()
    heads = [(LINE if caption else 0) + LINE * max(len(lines) for lines, _ in cells) for caption, cells in rows]
    heights = [head + max(p.shape[0] for _, p in cells) for head, (_, cells) in zip(heads, rows, strict=True)]
    tops = np.cumsum([MARGIN, *(height + MARGIN for height in heights)]).tolist()

    sheet = Image.new("RGB", (lefts[-1], tops[-1]), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for (caption, cells), top, head in zip(rows, tops, heads, strict=False):
        draw.text((MARGIN, top), fitting(caption, font, lefts[-1] - 2 * MARGIN), font=font, fill=BRIGHT)
        for (lines, picture), left, width in zip(cells, lefts, widths, strict=False):
            for i, line in enumerate(lines):
                y = top + head - LINE * (len(lines) - i)
                draw.text((left, y), fitting(line, font, width), font=font, fill=DIM if i or caption else BRIGHT)
            sheet.paste(Image.fromarray(_pixels(picture)), (left, top + head))
    return np.asarray(sheet, np.float32) / 255.0


def draw_columns(rows, titles, *, height):
    """Rows of pictures (lists, none longer than ``titles``), all scaled to ``height``, under their columns' titles."""
    scaled = [[scale_to_height(picture, height) for picture in row] for row in rows]
    heads = [[(title,) for title in titles], *([()] * len(titles) for _ in rows[1:])]
    return draw_sheet([("", list(zip(head, row, strict=False))) for head, row in zip(heads, scaled, strict=True)])


def fitting(text, font, width):
    """As much of a text as is no wider than ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def scale_to_height(picture, height):
    """A picture [H, W] or [H, W, C] scaled to ``height``: by areas where it shrinks, by whole pixels where it grows."""
    from PIL import Image

    image = Image.fromarray(_pixels(picture))
    size = (max(1, round(image.width * height / image.height)), height)
    kernel = Image.Resampling.BOX if image.height > height else Image.Resampling.NEAREST
    return np.asarray(image.resize(size, kernel), np.float32) / 255.0


def _pixels(picture):
    """8-bit RGB of a picture, NaN as black."""
    pixels = quantize(np.nan_to_num(np.asarray(picture)))
    return np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels
