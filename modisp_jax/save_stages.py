"""Writes every intermediate of a rendering to a folder, for a person to look at and a program to read."""

import re

import numpy as np

from modisp_jax.color import srgb_encode
from modisp_jax.io.images import apply_orientation, replacing, write_image

LTM_MAPS = ("w", "a", "b", "c", "g")

LINEAR = ("exposed", "denoised", "linear", "linear_small")
LINEAR_SMALL = ("gained", "global_tone", "local_tone", "rgb_lut", "chroma")
DISPLAY = ("srgb_small", "upsampled", "srgb")
OURS = re.compile(rf"\d\d_({'|'.join(LINEAR + LINEAR_SMALL + DISPLAY)})\.png|ltm_[wabcg]_from_.*_to_.*\.png")
"""Names of the pictures that this module writes."""


def write_stages(folder, stages, orientation=1):
    """Writes one 16-bit PNG a stage, numbered in order of computation, and ``look.npz`` with the coefficients.

    Those of an earlier rendering are removed first: their names depend on the style and on the maps' ranges.
    Images in linear light are encoded by the sRGB curve for viewing, values over 1 clipped. ``look.npz`` holds every
    coefficient exactly, as float32; the five local tone maps are also written as grey pictures, scaled to their own
    range, which the file name states.

    Args:
      folder: created where missing.
      stages: a :class:`modisp_jax.Stages`.
      orientation: EXIF orientation code by which pixels are turned upright.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.iterdir():
        if OURS.fullmatch(earlier.name):
            earlier.unlink()
    finished = stages.finished
    linear = {name: getattr(stages, name) for name in LINEAR}
    linear |= {name: getattr(finished, name) for name in LINEAR_SMALL}
    display = dict(zip(DISPLAY, (finished.srgb, stages.upsampled, stages.srgb), strict=True))
    pictures = {name: srgb_encode(image) for name, image in linear.items() if image is not None} | display
    for number, (name, image) in enumerate(pictures.items(), 1):
        _write_upright(folder / f"{number:02d}_{name}.png", image, orientation)
    _write_look(folder, stages.look, orientation)


def _write_look(folder, look, orientation):
    coefficients = {name: np.asarray(value) for name, value in vars(look).items() if value is not None}
    with replacing(folder / "look.npz") as temporary:
        np.savez(temporary, **coefficients)
    for k, name in enumerate(LTM_MAPS):
        plane = coefficients["ltm"][..., k]
        low, high = float(plane.min()), float(plane.max())
        grey = (plane - low) / max(high - low, 1e-12)
        path = folder / f"ltm_{name}_from_{low:.4g}_to_{high:.4g}.png"
        _write_upright(path, np.repeat(grey[..., None], 3, axis=-1), orientation)


def _write_upright(path, image, orientation):
    write_image(path, apply_orientation(np.asarray(image), orientation), bits=16)
