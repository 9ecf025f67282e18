"""What ordinary photos are worth to ``modisp fit``: its fit with and without them, on the benchmark of semi.py.

    python3 dev.py run benchmarks/semi_style.py --seeds 0 --write

From a style that ships, on the controlled benchmark's 30 pairs; of these the fit keeps a fifth to choose by. PSNR is of
validation photos that it has never seen. About 15 minutes a seed on two cores.
"""

import argparse
import sys

import jax
import numpy as np

from benchmarks.common import machine, read_results, write_results
from benchmarks.semi import CROP, RECIPES, SIZE
from modisp_jax import compile_cache, fit_style, load_params
from modisp_jax.fit import FitStyleConfig
from modisp_jax.fit.optim import OptimizerConfig
from modisp_jax.fit.unpaired import UnpairedConfig
from modisp_jax.metrics import psnr
from modisp_jax.numerics import clip01
from train.semi.sources import controlled
from train.semi.targets import run_batch
from train.semi.task import SemiExperiment

CONFIG = FitStyleConfig(
    size=SIZE,
    patience=100,
    optim=OptimizerConfig(learning_rate=6e-4, clip_norm=1.0, warmup=10, ema=0.95),
    unpaired=UnpairedConfig(steps=1000, batch=RECIPES["function_isp"].batch),
)


def fitted(style, source, photos, steps, seed):
    """PSNR in dB on the validation photos after a fit."""
    pairs = [(pair["input"], pair["target"]) for pair in source.pairs]

    def progress(record):
        if "score" in record:
            print(f"step {record['step']}: {record['score']:.2f} dB on the pairs kept", flush=True)

    found = fit_style(style, pairs, unpaired=photos, steps=steps, seed=seed, config=CONFIG, progress=progress)
    return score(found.params, source.validation)


@jax.jit
def render(params, images):
    """Photofinishing of images [n, H, W, 3]."""
    return clip01(run_batch("photofinish", params["photofinish"], images, None))


def score(params, validation):
    """Mean PSNR in dB."""
    pairs = zip(render(params, validation[0]), validation[1], strict=True)
    return float(np.mean([float(psnr(found, wanted)) for found, wanted in pairs]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--style", default="natural", help="where the fit starts")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--write", action="store_true", help="write results")
    options = parser.parse_args()
    compile_cache.enable()
    about, style = machine(), load_params(style=options.style)
    for seed in options.seeds:
        # Nothing is made by a teacher here, but only an experiment with photos has them.
        experiment = SemiExperiment(
            count=options.pairs, split_seed=seed, size=SIZE, crop=CROP, pseudo=1, method="unprocess"
        )
        source = controlled(experiment)
        photos = [sample["photo"] for sample in source.photos]
        for name, given in (("pairs alone", None), ("with photos", photos)):
            value = fitted(style, source, given, options.steps, seed)
            print(f"{options.pairs} pairs, seed {seed}, {name}: {value:.2f} dB", flush=True)
            if options.write:
                results = read_results("semi-style")
                results.setdefault("psnr", {}).setdefault(name, {})[str(seed)] = round(value, 3)
                results |= {"pairs": options.pairs, "steps": options.steps, "style": options.style}
                results.pop("machine", None)
                write_results("semi-style", results, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
