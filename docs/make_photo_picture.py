"""The picture of docs/photos.md: a finished photo, the light found in it, and what renders of that.

python3 dev.py run docs/make_photo_picture.py ../shared/data/photos/val/nikon-e990.jpg
"""

import argparse
from pathlib import Path

import numpy as np

import modisp_jax as mj
from modisp_jax.color import srgb_encode
from modisp_jax.io.images import write_image
from modisp_jax.io.resize import resize_area
from modisp_jax.metrics import psnr
from modisp_jax.sheet import draw_sheet
from modisp_jax.stages.color import to_linear_srgb

OUTPUT = Path(__file__).parent / "images" / "photos.jpg"
SIDE = 400
"""Longest side of a picture on the sheet."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path, help="finished photo")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="sheet to write")
    options = parser.parse_args()
    whole = mj.read_photo(options.photo).srgb
    srgb = np.clip(resize_area(whole, [round(n * SIDE / max(whole.shape[:2])) for n in whole.shape[:2]]), 0, 1)
    sets = {name: mj.load_params(style=name) for name in ("natural", "vivid", "mono")}
    raw = mj.linearize(srgb, params=sets["natural"])
    cct, tint = mj.white_balance_of(raw)

    def picture(style="natural", mired=0.0, **edits):
        lit = mj.set_white_balance(raw, cct=1e6 / (1e6 / cct - mired), tint=tint) if mired else raw
        return np.asarray(mj.render(sets[style], lit, edits=mj.Edits(denoise=0, **edits)))

    linear = to_linear_srgb(raw.image, raw.illuminant, raw.ccm, saturation=raw.saturation)
    again = picture()
    rows = [
        ("photo", srgb),
        ("its light, by the sRGB curve", np.asarray(srgb_encode(linear))),
        (f"natural again, {float(psnr(again, srgb)):.1f} dB", again),
        ("vivid", picture("vivid")),
        ("exposure -1 EV", picture(exposure=-1.0)),
        ("exposure +1 EV", picture(exposure=1.0)),
        ("40 mired warmer", picture(mired=40.0)),
        ("mono", picture("mono")),
    ]
    cells = [([title], image) for title, image in rows]
    print(write_image(options.output, draw_sheet([("", cells[:4]), ("", cells[4:])]), quality=88))


if __name__ == "__main__":
    main()
