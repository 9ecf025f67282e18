"""What the ParamISP networks that ship are worth: tables of docs/paramisp.md.

    python3 dev.py run benchmarks/paramisp.py --write

On the validation photos, which training never sees: taken by each of the imaginary cameras and measured as published
(``train/paramisp/evaluate.py``); and as they are, with their own EXIF, taken back to raw and finished again.
``--networks before=FILE after=FILE`` measures others besides, such as those before joint fine-tuning.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import modisp_jax as mj
from benchmarks.common import machine, write_results, write_table
from modisp_jax.paramisp import capture_of, photo_to_raw, raw_to_photo
from modisp_jax.paramisp_commands import camera_of
from modisp_jax.paramisp_file import load_paramisp
from train.cameras import cameras_of
from train.data import PhotoFolder
from train.paramisp import cameras as imaginary
from train.paramisp.evaluate import FIGURES, TAKES, cases_of_photos, evaluate, measure, summary
from train.paramisp.task import ParamISPExperiment

PAGE = Path(__file__).parent.parent / "docs" / "paramisp.md"


def there_and_back(params, config, folder):
    """Figures of each photo of a folder, taken back to a mosaic and finished again, ``{name: figures}``."""
    camera, rows = camera_of(None, None), {}
    for path in sorted(folder.iterdir()):
        photo = mj.read_photo(path)
        shot = capture_of(photo.metadata)
        at = camera.illuminant, camera.ccm, shot
        raw = photo_to_raw(params["inverse_isp"], photo.srgb, *at, config=config)
        picture = raw_to_photo(params["forward_isp"], raw, *at, config=config)
        rows[path.stem] = measure([picture], [photo.srgb])
        print(path.stem, rows[path.stem], file=sys.stderr, flush=True)
    return rows


def tables(results):
    """Lines of the tables: by camera, and there and back."""
    first = [
        "| networks | direction | camera | " + " | ".join(FIGURES.values()) + " |",
        "|---" * (3 + len(FIGURES)) + "|",
    ]
    second = ["| networks | PSNR dB, mean | least | SSIM |", "|---|---|---|---|"]
    for name, found in results["networks"].items():
        for direction in TAKES:
            for camera, means in found["cameras"].items():
                if direction in means:
                    cells = [
                        f"{means[direction][k]:.2f}" if k == "psnr" else f"{means[direction][k]:.4f}" for k in FIGURES
                    ]
                    first.append(f"| {name} | {direction} | {camera} | " + " | ".join(cells) + " |")
        if found["photos"]:
            psnr, ssim = ([row[k] for row in found["photos"].values()] for k in ("psnr", "ssim"))
            second.append(f"| {name} | {np.mean(psnr):.2f} | {np.min(psnr):.2f} | {np.mean(ssim):.4f} |")
    return first, second


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--side", type=int, default=448, help="side of the five crops")
    parser.add_argument("--limit", type=int, help="only the first so many photos")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    about, results = machine(), {"side": options.side, "networks": {}}
    sources = {"shipped": "paramisp"} | dict(pair.split("=", 1) for pair in options.networks)
    experiment = ParamISPExperiment()
    known = PhotoFolder(experiment.val_photos), cameras_of(experiment.tables), range(imaginary.COUNT)
    for name, source in sources.items():
        params, config = load_paramisp(source, networks=())
        rows = evaluate(params, config, cases_of_photos(*known, options.side, options.limit))
        both = len(params) > 1
        photos = there_and_back(params, config, experiment.val_photos) if both else {}
        results["networks"][name] = {"cameras": summary(rows), "photos": photos}
        print(name, results["networks"][name]["cameras"]["mean"], file=sys.stderr, flush=True)
    first, second = tables(results)
    if options.write:
        write_results("paramisp", results, about)
        write_table(PAGE, "shipped", first)
        write_table(PAGE, "there-and-back", second)
    print(*first, "", *second, sep="\n")


if __name__ == "__main__":
    main()
