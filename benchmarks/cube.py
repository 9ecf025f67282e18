"""How near does a table of colours alone (``global_lut``) come to the whole photofinishing?

    python3 dev.py run benchmarks/cube.py --write

Each style that ships, on the validation photos of training at quarter size: PSNR in dB of the linear picture through
the table against photofinishing with its local tone maps, by what becomes of the maps in the table; and of the table
of a look without local tone maps against that look, which is what interpolation between the nodes costs.
"""

import dataclasses
from pathlib import Path

import common
import numpy as np
import tyro

import modisp_jax as mj
from modisp_jax.checkpoints import STYLES, WEIGHTS
from modisp_jax.color import srgb_encode
from modisp_jax.metrics import psnr
from modisp_jax.ops.lut import lookup
from train import photofinish
from train.cameras import cameras_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cube.md"
LOCAL = {"left out": {"local": False}, "mean coefficients": {}, "by the scene": {"scene": True}}
"""Options of ``global_lut`` by what becomes of the local tone maps."""
SIZES = (33, 65)


@dataclasses.dataclass(frozen=True)
class Options:
    """Where the photos are, and whether to write."""

    val_photos: Path = Path("../shared/data/photos/val")
    """Finished photos."""
    tables: Path = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv."""
    write: bool = False
    """Replace results/cube.json and the tables of docs/cube.md."""


def scores(params, linear):
    """PSNR in dB of one picture, by (case, nodes)."""
    look = mj.predict_look(params, linear)
    whole = mj.apply_look(look, linear)
    plain = mj.apply_look(look, linear, edits=mj.Edits(ltm=0.0))
    found = {}
    for size in SIZES:
        for name, options in LOCAL.items():
            given = options | ({"scene": linear} if "scene" in options else {})
            picture = lookup(mj.global_lut(look, size=size, **given), srgb_encode(linear))
            found[f"{name}, {size}"] = float(psnr(picture, whole))
            if name == "left out":
                found[f"interpolation, {size}"] = float(psnr(picture, plain))
    return found


def table_of(results):
    """Rows of the page's table."""
    columns = [f"{name}, {size}" for size in SIZES for name in (*LOCAL, "interpolation")]
    rows = [f"| style | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for style, found in results.items():
        rows.append(f"| {style} | " + " | ".join(f"{found[name]['mean']:.1f}" for name in columns) + " |")
    return rows


def main(options: Options):
    about = common.machine()
    experiment = photofinish.PhotofinishExperiment(
        val_photos=options.val_photos, tables=options.tables, denoiser=WEIGHTS / "denoise-lite.safetensors"
    )
    pictures = [linear for linear, _, _ in photofinish.validation_fronts(experiment, cameras_of(options.tables))]
    results = {}
    for style in STYLES:
        params = mj.load_params(style=style)["photofinish"]
        rows = [scores(params, linear) for linear in pictures]
        values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        results[style] = {name: {"mean": float(v.mean()), "worst": float(v.min())} for name, v in values.items()}
        print(style, results[style], flush=True)
    rows = table_of(results)
    print("\n".join(rows))
    if options.write:
        print(f"written to {common.write_results('cube', {'styles': results}, about)}")
        common.write_table(PAGE, "cube", rows)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
