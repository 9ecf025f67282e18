"""The styles, in words and as thumbnails on one sheet: what ``modisp styles`` does."""

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

from modisp_jax import compile_cache
from modisp_jax.checkpoints import list_styles
from modisp_jax.describe import explain
from modisp_jax.io.images import FORMATS, apply_orientation, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.pipeline import render
from modisp_jax.raw import read_raw
from modisp_jax.render_files import FAILURES, load_style
from modisp_jax.resample import mean_pool
from modisp_jax.sheet import draw_sheet

NAME = "styles.jpg"
"""The sheet's name in a folder."""

SIDE = 512
"""Longest side of a thumbnail in pixels."""

COLUMNS = 3


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
    compile_cache.enable()
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
        rows = [list(upright)[i : i + COLUMNS] for i in range(0, len(upright), COLUMNS)]
        cells = [[((name, styles[name]), upright[name]) for name in row] for row in rows]
        write_image(target, draw_sheet([("", row) for row in cells]))
        print(f"{target}: {len(styles)} styles", file=sys.stderr, flush=True)
    return 0


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
