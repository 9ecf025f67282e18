"""The styles, in words and as thumbnails on one sheet: what ``modisp styles`` does."""

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

from modisp_jax.checkpoints import list_styles
from modisp_jax.describe import explain
from modisp_jax.io.images import FORMATS, apply_orientation, quantize, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.pipeline import render
from modisp_jax.raw import read_raw
from modisp_jax.render_files import FAILURES, load_style
from modisp_jax.resample import mean_pool

NAME = "styles.jpg"
"""The sheet's name in a folder."""

SIDE = 512
"""Longest side of a thumbnail in pixels."""

COLUMNS = 3
MARGIN = 16
LINE = 22
"""Height of a line of a caption in pixels."""


def show_styles(thumbnails, photo, *, params, overwrite):
    """Prints the styles and, where asked for, renders a photo small in each onto one sheet.

    Args:
      thumbnails: the sheet's path, a folder for it, or None.
      photo: path of a raw photo; None for the built-in scene.
      params: name or file of the set whose denoiser is used.
      overwrite: whether to replace a sheet whose name was not given.

    Returns:
      The exit code.

    Raises:
      ValueError: no styles in this installation, a photo that cannot be read, or a sheet that cannot be written.
    """
    styles = list_styles()
    if not styles:
        raise ValueError("this installation has no styles; render's --style takes a parameter file as well")
    target = None if thumbnails is None else _target(thumbnails, overwrite)
    width = max(len(name) for name in styles)
    for name, what in styles.items():
        print(f"{name:<{width}}  {what}".rstrip())
    if target is not None:
        try:
            raw = _small(_scene() if photo is None else read_raw(photo))
            orientation = raw.metadata.orientation
            pictures = {name: render(load_style(params, name), raw) for name in styles}
        except FAILURES as error:
            raise ValueError(explain(error, "the built-in scene" if photo is None else photo)) from None
        upright = {name: apply_orientation(np.asarray(image), orientation) for name, image in pictures.items()}
        write_image(target, draw_sheet([(name, styles[name], image) for name, image in upright.items()]))
        print(f"{target}: {len(styles)} styles", file=sys.stderr, flush=True)
    return 0


def draw_sheet(thumbnails):
    """Pictures of one size, in rows, with captions.

    Args:
      thumbnails: list of (name, description, sRGB picture [h, w, 3] in [0, 1]).

    Returns:
      The sheet, sRGB [H, W, 3] float32 in [0, 1].
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = thumbnails[0][2].shape[:2]
    step = np.array([width + MARGIN, height + 2 * LINE + MARGIN])
    columns = min(COLUMNS, len(thumbnails))
    rows = -(-len(thumbnails) // columns)
    sheet = Image.new("RGB", tuple(int(n) for n in MARGIN + step * (columns, rows)), (32, 32, 32))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for k, (name, what, picture) in enumerate(thumbnails):
        x, y = (int(n) for n in MARGIN + step * (k % columns, k // columns))
        sheet.paste(Image.fromarray(quantize(picture)), (x, y))
        draw.text((x, y + height + 2), name, font=font, fill=(255, 255, 255))
        draw.text((x, y + height + 2 + LINE), _fitting(what, font, width), font=font, fill=(176, 176, 176))
    return np.asarray(sheet, np.float32) / 255.0


def _fitting(text, font, width):
    """As much of a text as is no wider than ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _scene():
    """The built-in scene, through a file, as any photo."""
    with tempfile.TemporaryDirectory() as folder:
        return read_raw(write_synthetic_dng(Path(folder) / "scene.dng"))


def _small(raw):
    """The photo at a thumbnail's size, by the mean of whole pixels."""
    factor = -(-max(raw.image.shape[:2]) // SIDE)
    return dataclasses.replace(raw, image=mean_pool(raw.image, factor))


def _target(thumbnails, overwrite):
    """The sheet's path. What can be known to fail later fails here."""
    target = thumbnails
    if thumbnails.is_dir() or not thumbnails.suffix:
        thumbnails.mkdir(parents=True, exist_ok=True)
        target = thumbnails / NAME
        if target.exists() and not overwrite:
            raise ValueError(f"{target} exists; --overwrite replaces it")
    if target.suffix.lower() not in FORMATS:
        raise ValueError(f"--thumbnails {thumbnails}: expected one of {', '.join(FORMATS)}")
    if not target.parent.is_dir():
        raise ValueError(f"--thumbnails {thumbnails}: the folder {target.parent} does not exist")
    return target
