"""What ordinary photos are worth to ``modisp fit``: its fit with and without them, on the benchmark of semi.py.

    python3 dev.py run benchmarks/semi_style.py --steps 0 --write
    python3 dev.py run benchmarks/semi_style.py --pairs 30 --write

From a style that ships, on the controlled benchmark's pairs, as the command does it but for the size of the pictures;
ten minutes a seed on one core, and two with ``--steps 0``, which stops at the closed form. PSNR is of
validation photos that no fit has seen.
"""

import argparse
import itertools
import sys
from pathlib import Path

import jax
import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from benchmarks.semi import ALONE, CROP, SIZE, cell_of, heading_of
from modisp_jax import compile_cache, fit_style, load_params
from modisp_jax.fit import fit_style_config
from modisp_jax.metrics import psnr
from modisp_jax.numerics import clip01
from train.semi.sources import controlled
from train.semi.targets import run_batch
from train.semi.task import SemiExperiment

PAGE = Path(__file__).parent.parent / "docs" / "semi.md"
PHOTOS = "with photos"


def fitted(style, source, photos, steps, seed):
    """PSNR in dB on the validation photos after a fit."""
    pairs = [(pair["input"], pair["target"]) for pair in source.pairs]

    def progress(record):
        if "score" in record:
            print(f"step {record['step']}: {record['score']:.2f} dB on the pairs kept", flush=True)

    found = fit_style(
        style,
        pairs,
        unpaired=photos,
        rgb_lut=True,
        steps=steps,
        seed=seed,
        config=fit_style_config(len(pairs), size=SIZE),
        progress=progress,
    )
    return score(found.params, source.validation)


@jax.jit
def render(params, images):
    """Photofinishing of images [n, H, W, 3]."""
    return clip01(run_batch("photofinish", params["photofinish"], images, None))


def score(params, validation):
    """Mean PSNR in dB."""
    pairs = zip(render(params, validation[0]), validation[1], strict=True)
    return float(np.mean([float(psnr(found, wanted)) for found, wanted in pairs]))


def rows_of(results):
    """The table, steps by numbers of pairs: means over seeds, and gains over the pairs alone after as many steps."""
    counts = sorted({count for found in results.values() for count in found}, key=int)
    rows = heading_of(counts)
    for steps, name in itertools.product(sorted(results, key=int), (ALONE, PHOTOS)):
        entries = [results[steps].get(count, {}) for count in counts]
        cells = [cell_of(entry.get(name, {}), entry.get(ALONE, {}), 0) for entry in entries]
        rows.append(f"| {name}, {f'{steps} steps' if int(steps) else 'closed form'} | {' | '.join(cells)} |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--style", default="natural", help="where the fit starts")
    parser.add_argument("--pairs", type=int, nargs="+", default=[30, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=120, help="of training after the start in closed form")
    parser.add_argument("--write", action="store_true", help="write results and the table of the page")
    options = parser.parse_args()
    compile_cache.enable()
    about, style = machine(), load_params(style=options.style)
    for count in options.pairs:
        for seed in options.seeds:
            # Nothing is made by a teacher here, but only an experiment with photos has them.
            experiment = SemiExperiment(
                count=count, split_seed=seed, size=SIZE, crop=CROP, pseudo=1, method="unprocess"
            )
            source = controlled(experiment)
            photos = [sample["photo"] for sample in source.photos]
            for name, given in ((ALONE, None), (PHOTOS, photos)):
                value = fitted(style, source, given, options.steps, seed)
                print(f"{count} pairs, seed {seed}, {name}: {value:.2f} dB", flush=True)
                if options.write:
                    results = read_results("semi-style")
                    if results.get("style") != options.style:
                        results = {"style": options.style}  # one table is of one start
                    entry = results.setdefault("psnr", {}).setdefault(str(options.steps), {})
                    entry.setdefault(str(count), {}).setdefault(name, {})[str(seed)] = [round(value, 3)]
                    results.pop("machine", None)
                    write_results("semi-style", results, about)
    if options.write:
        write_table(PAGE, "semi-style", rows_of(read_results("semi-style")["psnr"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
