"""What the ParamISP networks that ship are worth: tables of docs/paramisp.md.

    python3 dev.py run benchmarks/paramisp.py --write

On the validation photos, which training never sees: taken by each of the imaginary cameras and measured as published
(``train/paramisp/evaluate.py``); the same with exposure data wrong or unknown, parameter by parameter (table S5); and
ordinary photos, with their own EXIF, taken back to raw and finished again: as they are, 1024 pixels made of millions
and thus sharper than any demosaicing, and enlarged twice, about as soft as what cameras write at full size. Untrained
networks do the same beside them: a plain gamma, and Malvar's demosaicing, which is what alone loses anything.
``--reports`` writes the table of networks fine-tuned on one camera alone, from what evaluation has found of them.
``--networks before=FILE after=FILE`` measures others besides, such as those before joint fine-tuning.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import jax
import numpy as np

import modisp_jax as mj
from benchmarks.common import machine, write_results, write_table
from modisp_jax.nets.paramisp import EXPONENTS
from modisp_jax.paramisp import capture_of, photo_to_raw, raw_to_photo
from modisp_jax.paramisp_commands import camera_of
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.resample import resize_bilinear
from train.cameras import cameras_of
from train.data import PhotoFolder
from train.paramisp import cameras as imaginary
from train.paramisp.evaluate import (
    DROPPED,
    FIGURES,
    TAKES,
    WRONG,
    cases_of_photos,
    evaluate,
    measure,
    parameter_losses,
    summary,
)
from train.paramisp.task import ParamISPExperiment

PAGE = Path(__file__).parent.parent / "docs" / "paramisp.md"


ENLARGED = {"as they are": 1, "enlarged twice": 2}
PARAMETER_SIDE = 256
"""Of the crop, one a photo, that exposure data are taken from."""


def say(line):
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def there_and_back(params, config, folder):
    """Figures of each photo of a folder, taken back to a mosaic and finished again, ``{size: {name: figures}}``."""
    camera, found = camera_of(), {size: {} for size in ENLARGED}
    for path in sorted(folder.iterdir()):
        photo = mj.read_photo(path)
        at = camera.illuminant, camera.ccm, capture_of(photo.metadata)
        for size, factor in ENLARGED.items():
            srgb = photo.srgb
            if factor > 1:
                srgb = np.asarray(resize_bilinear(srgb, [factor * n for n in srgb.shape[:2]], align="centers"))
            raw = photo_to_raw(params["inverse_isp"], srgb, *at, config=config)
            picture = raw_to_photo(params["forward_isp"], raw, *at, config=config)
            found[size][path.stem] = measure([picture], [srgb])
            say(f"{path.stem}, {size}: {found[size][path.stem]}")
    return found


def untrained(config):
    """Both networks before any training."""
    return mj.init_params(jax.random.key(0), mj.PipelineConfig(None, None, None, **dict.fromkeys(EXPONENTS, config)))


def middles(known):
    """The cases whose exposure data are changed: one crop of each photo by each camera."""
    for case in cases_of_photos(*known, PARAMETER_SIDE):
        yield dataclasses.replace(case, pairs=case.pairs[:1])


def by_camera(networks):
    """Lines of the table of what the networks make of pairs, camera by camera."""
    lines = [
        "| networks | direction | camera | " + " | ".join(FIGURES.values()) + " |",
        "|---" * (3 + len(FIGURES)) + "|",
    ]
    for name, found in networks.items():
        for direction in TAKES:
            for camera, means in found["cameras"].items():
                if direction in means:
                    cells = (f"{means[direction][k]:.{2 if k == 'psnr' else 4}f}" for k in FIGURES)
                    lines.append(f"| {name} | {direction} | {camera} | " + " | ".join(cells) + " |")
    return lines


def by_size(networks):
    """Lines of the table of ordinary photos, there and back."""
    lines = ["| networks | photos | PSNR dB, mean | least | SSIM |", "|---|---|---|---|---|"]
    for name, found in networks.items():
        for size, photos in found["photos"].items():
            psnr, ssim = ([row[k] for row in photos.values()] for k in ("psnr", "ssim"))
            lines.append(f"| {name} | {size} | {np.mean(psnr):.2f} | {np.min(psnr):.2f} | {np.mean(ssim):.4f} |")
    return lines


def by_parameter(losses):
    """Lines of the table of what wrong and unknown exposure data cost."""
    ways = (WRONG, DROPPED)
    heads = [f"{direction}, {'unknown' if way == DROPPED else way}" for direction in losses for way in ways]
    lines = ["| dB lost | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for group in next(iter(losses.values())):
        rows = [losses[direction][group] for direction in losses]
        cells = (f"{row[way]:.2f} ± {row[f'{way}_error']:.2f}" for row in rows for way in ways)
        lines.append(f"| {group.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return lines


def finish(found, options):
    """Writes tables into the page where asked, and prints them."""
    for name, lines in found.items():
        if options.write:
            write_table(PAGE, name, lines)
    print(*(line for lines in found.values() for line in (*lines, "")), sep="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--side", type=int, default=448, help="side of the five crops")
    parser.add_argument("--limit", type=int, help="only the first so many photos")
    parser.add_argument("--reports", nargs="*", type=Path, help="files of train.paramisp.evaluate --parameters --json")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.reports:
        found = [json.loads(path.read_text())["parameter_losses"] for path in options.reports]
        finish({"fine-tuned-parameters": by_parameter({k: v for losses in found for k, v in losses.items()})}, options)
        return
    about, results = machine(), {"side": options.side, "networks": {}}
    sources = {"shipped": "paramisp"} | dict(pair.split("=", 1) for pair in options.networks)
    experiment = ParamISPExperiment()
    known = PhotoFolder(experiment.val_photos), cameras_of(experiment.tables), range(imaginary.COUNT)
    for name, source in sources.items():
        params, config = load_paramisp(source, networks=())
        rows = evaluate(params, config, cases_of_photos(*known, options.side, options.limit), say)
        photos = there_and_back(params, config, experiment.val_photos) if len(params) > 1 else {}
        results["networks"][name] = {"cameras": summary(rows), "photos": photos}
        say(f"{name}: {results['networks'][name]['cameras']['mean']}")
    params, config = load_paramisp(networks=())
    photos = there_and_back(untrained(config), config, experiment.val_photos)
    results["networks"]["untrained"] = {"cameras": {}, "photos": photos}
    results["parameters"] = parameter_losses(params, config, lambda: middles(known), say)
    found = {
        "shipped": by_camera(results["networks"]),
        "shipped-parameters": by_parameter(results["parameters"]),
        "there-and-back": by_size(results["networks"]),
    }
    if options.write:
        write_results("paramisp", results, about)
    finish(found, options)


if __name__ == "__main__":
    main()
