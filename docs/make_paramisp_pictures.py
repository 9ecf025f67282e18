"""The pictures of docs/paramisp.md: what each parameter does, inverse errors, HDR, transfer and blur.

    python3 dev.py run docs/make_paramisp_pictures.py
    python3 dev.py run docs/make_paramisp_pictures.py --only transfer \\
        --from-camera runs/paramisp-camera/best.safetensors --to-camera runs/paramisp-other/best.safetensors
"""

import argparse
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import modisp_jax as mj
from modisp_jax.io.images import write_image
from modisp_jax.io.resize import resize_area
from modisp_jax.metrics import psnr
from modisp_jax.nets.paramisp import PARAMETERS
from modisp_jax.paramisp import capture_of, expose, fuse_exposures, synthesize_blur, transfer
from modisp_jax.paramisp.applications import GAINS
from modisp_jax.paramisp.capture import from_array
from modisp_jax.paramisp_commands import camera_of
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.sheet import draw_sheet
from modisp_jax.unprocess import at_speed, draw_shot
from train.cameras import cameras_of
from train.data import PhotoFolder
from train.paramisp import cameras as imaginary
from train.paramisp.pairs import SHOTS, middle_of, take_pair
from train.paramisp.task import ParamISPExperiment, run, scores, show

IMAGES = Path(__file__).parent / "images"
SIDE = 288
"""Of the pictures on a sheet."""

MIDDLE = np.array([60.0, 5.4, 1 / 90, 560.0], np.float32)
"""Exposure data in the middle of what is drawn."""

AMPLIFIED = 8


def pairs_of(experiment, names, captures, index, seed=1):
    """Photos by name, taken by imaginary camera ``index`` with the exposure data given."""
    sensors, photos = cameras_of(experiment.tables), PhotoFolder(experiment.val_photos)
    shot = at_speed(draw_shot(jax.random.key(seed), sensors, SHOTS), 100.0)
    take = jax.jit(lambda photo, capture: _taken(photo, shot, capture, index))
    return [
        take(middle_of(photos[photos.names.index(name)]["srgb"], SIDE), capture)
        for name, capture in zip(names, captures, strict=True)
    ]


def _taken(photo, shot, capture, index):
    key, iso = jax.random.key(2), capture[PARAMETERS.index("iso")]
    return take_pair(key, photo, at_speed(shot, iso), imaginary.camera(index), capture)


def cameras_sheet(experiment):
    """What each parameter changes: one photo, the least, the middle and the largest value of each."""
    captures, titles = [], []
    for k, name in enumerate(PARAMETERS):
        low, high = imaginary.SPANS[name]
        for value in (low, MIDDLE[k], high):
            captures.append(MIDDLE.copy())
            captures[-1][k] = value
            titles.append(f"{name.replace('_', ' ')} {value:.4g}")
    pairs = pairs_of(experiment, ["sony-dsc-t5"] * len(captures), captures, 0)
    cells = [([title], np.asarray(pair.srgb)) for title, pair in zip(titles, pairs, strict=True)]
    return [("", cells[k : k + 3]) for k in range(0, len(cells), 3)]


def inverse_sheet(experiment):
    """Raws found with the exposure data right, unknown, and wrong; and their errors."""
    params, config = load_paramisp()
    find = jax.jit(functools.partial(run, {"inverse_isp": params["inverse_isp"]}, config=config))
    rng, rows = np.random.default_rng(3), []
    names = PhotoFolder(experiment.val_photos).names[:8:2]
    captures = [np.asarray(imaginary.draw_capture(jax.random.key(int(rng.integers(1 << 30))))) for _ in names]
    for name, pair in zip(names, pairs_of(experiment, names, captures, 0), strict=True):
        own = np.asarray(pair.capture)
        # As far off as can be: mirrored in the middle of the range, in logarithms.
        spans = np.array([imaginary.SPANS[name] for name in PARAMETERS])
        shown = {"right": own, "unknown": np.full(4, np.nan, np.float32), "wrong": spans.prod(axis=1) / own}
        cells = [([name], np.asarray(pair.srgb)), (["its raw"], show(pair.mosaic))]
        for title, capture in shown.items():
            found = find(pair._replace(capture=jnp.asarray(capture, jnp.float32)))
            error = AMPLIFIED * np.abs(np.clip(found["inverse"], 0, 1) - np.clip(pair.mosaic, 0, 1))
            decibels = scores(found, pair)["inverse"]
            cells.append(([f"{title}: {decibels:.1f} dB, error x {AMPLIFIED}"], np.clip(error, 0, 1)))
        rows.append(("", cells))
    return rows


def photo_of(path):
    """A photo and its exposure data."""
    photo = mj.read_photo(path)
    return photo.srgb, capture_of(photo.metadata)


def shrunk(picture, side):
    """A picture made small, for the sheet: what is done to photos is done at their own size."""
    picture = np.asarray(picture)
    size = [round(n * side / max(picture.shape[:2])) for n in picture.shape[:2]]
    return np.clip(resize_area(picture, size), 0, 1)


def hdr_sheet(experiment):
    """The exposures of photos with much light and dark, and what is fused of them."""
    params, config = load_paramisp()
    camera, rows = camera_of(), []
    for name in ("sanyo-s1", "samsung-s730"):
        photo, capture = photo_of(experiment.val_photos / f"{name}.jpg")
        pictures = expose(params, photo, camera.illuminant, camera.ccm, capture, config=config)
        titles = ["photo", "fused", *(f"raw x {gain:g}" for gain in GAINS)]
        shown = [shrunk(picture, 320) for picture in (photo, fuse_exposures(pictures), *pictures)]
        cells = [([title], picture) for title, picture in zip(titles, shown, strict=True)]
        rows += [("", cells[:3]), ("", cells[3:])]
    return rows


def transfer_sheet(experiment, source, target, indices):
    """Photos of one imaginary camera, as the other's network finishes them, and as the other really does."""
    (inverse, config), (forward, forward_config) = load_paramisp(source, ()), load_paramisp(target, ())
    names = PhotoFolder(experiment.val_photos).names[1:8:2]
    captures = [np.asarray(imaginary.draw_capture(jax.random.key(20 + k))) for k in range(len(names))]
    both = [pairs_of(experiment, names, captures, index) for index in indices]
    rows = []
    for name, own, other in zip(names, *both, strict=True):
        nets, at = (inverse["inverse_isp"], forward["forward_isp"]), (own.illuminant, own.ccm, from_array(own.capture))
        found = transfer(*nets, own.srgb, *at, config=config, forward_config=forward_config)
        before, after = (float(psnr(jnp.asarray(x), other.srgb)) for x in (own.srgb, found))
        cells = [
            ([name, f"camera {indices[0]}: {before:.1f} dB"], own.srgb),
            (["", f"transferred: {after:.1f} dB"], found),
            (["", f"camera {indices[1]}"], other.srgb),
        ]
        rows.append(("", [(lines, np.asarray(picture)) for lines, picture in cells]))
    return rows


def blur_sheet(experiment):
    """A photo, what comes back of it, blurred in raw, and blurred as it is."""
    params, config = load_paramisp()
    camera = camera_of()
    photo, capture = photo_of(experiment.val_photos / "nikon-e990.jpg")
    at = params, photo, camera.illuminant, camera.ccm, capture
    blurred, sharp = synthesize_blur(jax.random.key(0), *at, length=30, angle=30, noise=(1e-4, 1e-6), config=config)
    cells = [(["photo"], photo), (["there and back"], sharp), (["blurred in raw, 30 pixels"], blurred)]
    return [("", [(lines, shrunk(picture, 400)) for lines, picture in cells])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["cameras", "inverse", "hdr", "blur"])
    parser.add_argument("--from-camera", help="inverse network of imaginary camera 2")
    parser.add_argument("--to-camera", help="forward network of imaginary camera 1")
    options = parser.parse_args()
    experiment = ParamISPExperiment()
    sheets = {
        "cameras": lambda: cameras_sheet(experiment),
        "inverse": lambda: inverse_sheet(experiment),
        "hdr": lambda: hdr_sheet(experiment),
        "blur": lambda: blur_sheet(experiment),
        "transfer": lambda: transfer_sheet(experiment, options.from_camera, options.to_camera, (2, 1)),
    }
    for name in options.only:
        print(write_image(IMAGES / f"paramisp_{name}.jpg", draw_sheet(sheets[name]()), quality=88), flush=True)


if __name__ == "__main__":
    main()
