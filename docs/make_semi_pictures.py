"""The picture of docs/semi.md: three raws of one photo, and photos before and after the quality update.

python3 dev.py run -m train configs/semi_function.py --folder runs/semi-function
python3 dev.py run docs/make_semi_pictures.py
"""

import argparse
import functools
from pathlib import Path

import jax
import numpy as np

from modisp_jax.dynamicisp import apply_functions, photo_to_raws, render_functions
from modisp_jax.io.images import write_image
from modisp_jax.metrics import psnr
from modisp_jax.sheet import draw_sheet
from train.data import PhotoFolder
from train.semi.sources import controlled, laid
from train.semi.task import fill_memory, load_teacher

IMAGES = Path(__file__).parent / "images"
SIZE = (216, 288)
GAMMA = 2.2


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, default=Path("runs/semi-function/best.safetensors"))
    parser.add_argument("--photos", type=int, nargs=3, default=[0, 3, 6], help="numbers of validation photos")
    options = parser.parse_args()
    from configs.semi_function import EXPERIMENT

    params = load_teacher(options.teacher, EXPERIMENT.isp)
    memory = fill_memory(params, [pair["input"] for pair in controlled(EXPERIMENT).pairs], EXPERIMENT)
    held_out = PhotoFolder(EXPERIMENT.val_photos)
    photos = [laid(held_out[i]["srgb"], SIZE) for i in options.photos]
    raws = zip(("photo", "a raw of it", "another", "a third"), raws_of(photos[0], memory, EXPERIMENT), strict=True)
    updated = [updated_of(params, photo, memory, EXPERIMENT) for photo in photos]
    rows = [
        ("One photo, many raws", [((title,), picture) for title, picture in raws]),
        ("Before the quality update", [((), picture) for picture in photos]),
        ("After it", [((), picture) for picture in updated]),
    ]
    write_image(IMAGES / "semi_pairs.jpg", draw_sheet(rows))


def raws_of(photo, memory, experiment):
    """The photo and three of its raws, shown with gamma; prints how well each is rendered back."""
    make = jax.jit(functools.partial(photo_to_raws, config=experiment.isp))
    shown = [photo]
    for key in jax.random.split(jax.random.key(3), 3):
        raw, parameters = make(memory, photo, key)
        again = apply_functions(parameters, raw, config=experiment.isp)
        print(f"mean {np.mean(raw):.3f}, rendered again {float(psnr(again, photo)):.1f} dB")
        shown.append(np.asarray(raw) ** (1 / GAMMA))
    return shown


def updated_of(params, photo, memory, experiment):
    """The photo in the wanted look, by way of one of its raws."""
    raw, _ = photo_to_raws(memory, photo, jax.random.key(2), config=experiment.isp)
    return np.asarray(render_functions(params, raw, config=experiment.isp))


if __name__ == "__main__":
    main()
