"""The pictures of docs/look.md: every control at three settings, on one raw photo.

    python3 dev.py run docs/make_look_pictures.py ../shared/data/raw/GOPR0024.DNG

Tones, colours and geometry are shown on the whole photo shrunk; what acts on pixels on a part of it, enlarged twice.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

import modisp_jax as mj
from modisp_jax.io.images import apply_orientation, write_image
from modisp_jax.resample import mean_pool
from modisp_jax.sheet import draw_sheet

IMAGES = Path(__file__).parent / "images"
SIDE = 400
"""Longest side of a picture on a sheet, about."""

PART = (0.44, 0.46)
"""Where the enlarged part begins, as fractions of height and width."""
PART_SIZE = (136, 200)

TONES = {
    "exposure": (-1.0, 0.0, 1.0),
    "auto_exposure": (0.0, 0.5, 1.0),
    "contrast": (-0.8, 0.0, 0.8),
    "highlights": (-1.0, 0.0, 1.0),
    "shadows": (-1.0, 0.0, 1.0),
}
COLORS = {"saturation": (-0.7, 0.0, 0.7), "vibrance": (-0.8, 0.0, 0.8)}
STRENGTHS = {name: (0.0, 0.5, 1.0) for name in ("gain", "gtm", "ltm", "chroma", "gamma")}
DETAIL = {
    "denoise": (0.0, 0.5, 1.0),
    "luma_denoise": (0.0, 0.5, 1.0),
    "chroma_denoise": (0.0, 0.5, 1.0),
    "enhance": (0.0, 0.5, 1.0),
    "sharpening": (0.0, 15.0, 40.0),
}
LIGHTS = {"cct": (3800.0, None, 7500.0), "tint": (-40.0, None, 40.0)}
MIXES = ({"vivid": 1.0}, {"vivid": 0.5, "moody": 0.5}, {"moody": 1.0})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path, help="raw photo")
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder for the sheets")
    options = parser.parse_args()
    whole = mj.read_raw(options.photo)
    small = dataclasses.replace(whole, image=mean_pool(whole.image, max(whole.image.shape[:2]) // SIDE))
    part = dataclasses.replace(whole, image=whole.image[window(whole.image.shape)])
    params = mj.load_params()

    def picture(raw, params=params, **edits):
        srgb = np.asarray(mj.render(params, raw, edits=mj.Edits(**edits)))
        return apply_orientation(srgb, whole.metadata.orientation)

    def slider(raw, name, values, zoom=1):
        pictures = [picture(raw, **{name: value}).repeat(zoom, axis=0).repeat(zoom, axis=1) for value in values]
        return name, [((f"{name} {value:g}",), shown) for value, shown in zip(values, pictures, strict=True)]

    def light(name, values):
        lit = [small if value is None else mj.set_white_balance(small, **{name: value}) for value in values]
        titles = ["as shot" if value is None else f"{name} {value:g}" for value in values]
        return name, [((title,), picture(raw)) for title, raw in zip(titles, lit, strict=True)]

    def mix(weights):
        styles = [mj.load_params(style=name) for name in weights]
        title = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        return (title,), picture(small, mj.mix_styles(styles, list(weights.values())))

    geometry = [
        (("rotation -8",), picture(small, rotation=-8.0)),
        (("neutral",), picture(small)),
        (("crop .2 .2 .6 .6",), picture(small, crop=(0.2, 0.2, 0.6, 0.6))),
    ]
    automatic = (("automatic",), picture(mj.auto_white_balance(small)))
    lights = [light(name, values) for name, values in LIGHTS.items()]
    sheets = {
        "white_balance": [*lights, ("automatic", [(("as shot",), picture(small)), automatic])],
        "tones": [slider(small, *item) for item in TONES.items()],
        "colors": [slider(small, *item) for item in COLORS.items()],
        "strengths": [slider(small, *item) for item in STRENGTHS.items()],
        "detail": [slider(part, *item, zoom=2) for item in DETAIL.items()],
        "styles": [("styles", [mix(weights) for weights in MIXES])],
        "geometry": [("geometry", geometry)],
    }
    for name, rows in sheets.items():
        path = options.output / f"look_{name}.jpg"
        write_image(path, draw_sheet([("", cells) for _, cells in rows]), quality=85)
        print(path)


def window(shape):
    """The part that is shown enlarged."""
    top, left = (int(n * start) for n, start in zip(shape, PART, strict=False))
    return slice(top, top + PART_SIZE[0]), slice(left, left + PART_SIZE[1])


if __name__ == "__main__":
    main()
