"""What the weights that ship are worth: the numbers of docs/weights.md.

    python3 dev.py run benchmarks/weights.py --write

Denoisers on unprocessed validation photos, beside a published one where its checkpoint is named; each style's
photofinishing against its target and the neutral rendering; whether each stage does what its name says;
enhancement's gain at full size, as its training validated it (from the card). Photos, cameras and seeds are those of
training's validation (``train/``), which training never draws.
"""

import argparse
import collections
import dataclasses
import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from modisp_jax.checkpoints import SIZES, STYLES, WEIGHTS, load_params, read_card
from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.config import RenderConfig
from modisp_jax.look import finish_by_networks
from modisp_jax.metrics import psnr
from modisp_jax.numerics import clip01
from modisp_jax.params import nafnet_config
from modisp_jax.stages import restore
from modisp_jax.torch_import import import_torch
from modisp_jax.types import Edits
from modisp_jax.unprocess import before_mosaic, draw_and_take
from train import denoise, photofinish
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder
from train.targets import STYLES as RENDERERS
from train.transforms import enlarge, middle

PAGE = Path(__file__).parent.parent / "docs" / "weights.md"
PARTS = ("denoisers", "styles")
ZOOMS = (1, 2, 4)
STAGES = ("gain", "gtm", "ltm", "rgb_lut", "chroma", "gamma")
EDGE = 0.02
"""A coefficient this near to a bound, relative to its range (or to 1 where that has no end), counts as at the bound."""


def denoisers(experiment, cameras, published):
    """Mean PSNR in dB of the input and of each denoiser's output: by enlargement of the photos, target and ISO.

    Photos as they are have edges that no sensor's demosaicing leaves whole; enlarged they are as soft, pixel by
    pixel, as what a lens draws. ``clean`` is the same mosaic demosaiced without noise; ``scene`` the picture before
    the mosaic, what they are trained towards.
    """
    sets = {f"denoise-{size}": load_params(size)["denoise"] for size in SIZES}
    if published is not None:
        sets["published generic_lite"] = import_torch(denoiser=published)["denoise"]
    nets = {name: jax.jit(functools.partial(_restore, config=nafnet_config(p))) for name, p in sets.items()}
    photos = PhotoFolder(experiment.val_photos)
    keys = jax.random.split(jax.random.key(VALIDATION_SEED), len(photos))
    rows = []
    for zoom in ZOOMS:
        enlarged = (enlarge(photos[i]["srgb"], zoom) for i in range(len(photos)))
        middles = [middle(photo, experiment.val_crop) for photo in enlarged]
        for speed in denoise.Validation.SPEEDS:
            shots = dataclasses.replace(experiment.shots, iso=(speed, speed))
            take = jax.jit(functools.partial(_pictures, cameras=cameras, shots=shots))
            scores = collections.defaultdict(list)
            for key, photo in zip(keys, middles, strict=True):
                noisy, clean, scene = take(key, photo)
                outputs = {"input": noisy, **{name: net(sets[name], noisy) for name, net in nets.items()}}
                for name, output in outputs.items():
                    scores["clean", name].append(float(psnr(output, clean)))
                    scores["scene", name].append(float(psnr(output, scene)))
            for (target, name), values in scores.items():
                row = {"zoom": zoom, "target": target, "network": name, "iso": speed, "psnr": float(np.mean(values))}
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    return rows


def _restore(params, raw, *, config):
    return clip01(restore.denoise(params, raw, config))


def _pictures(key, srgb, *, cameras, shots):
    """What ``unprocess`` makes of a photo, and the camera's picture before the mosaic: (noisy, clean, scene)."""
    shot, raw, clean = draw_and_take(key, srgb, cameras, shots)
    return raw.image, clean, before_mosaic(srgb, shot)


def style_numbers(style, fronts):
    """Photofinishing of one style on the validation photos: fidelity, bounds, and what each stage does.

    ``fronts``: what ``photofinish.validation_fronts`` made, by the case's name; all numbers are of the case "lite",
    of the others only the fidelity.
    """
    params = load_params(style=style)["photofinish"]
    validations = {name: photofinish.Validation(found, RENDERERS[style]) for name, found in fronts.items()}
    found = {name: validation.numbers({"photofinish": params}) for name, validation in validations.items()}
    validation, numbers = validations["lite"], found["lite"]
    for name in set(found) - {"lite"}:
        numbers |= {f"{key}_{name}": found[name][key] for key in ("score", "neutral", "worst")}
    finish = lambda x, edits: finish_by_networks(params, x, edits, RenderConfig())  # noqa: E731
    at_bound, effects = [], {stage: [] for stage in STAGES if stage in params}
    for linear, _ in validation.pairs:
        look, full = finish(linear, Edits())
        at_bound.append(bounds(look))
        for stage in effects:
            without = finish(linear, dataclasses.replace(Edits(), **{stage: 0.0}))[1]
            effects[stage].append(effect(full.srgb, without.srgb))
    names = at_bound[0]
    numbers["at_bound"] = {name: float(np.mean([row[name] for row in at_bound])) for name in names}
    numbers["gtm_percent"] = 100 * (2 ** numbers["gtm_ev"] - 1)
    numbers["without"] = {stage: np.mean(rows, axis=0).round(4).tolist() for stage, rows in effects.items()}
    return numbers


def bounds(look):
    """Whether each coefficient of a look is at a bound, by name."""

    def near(value, low, high=None):
        margin = EDGE * (1.0 if high is None else high - low)
        value = np.asarray(value)
        return bool(value.min() < low + margin or (high is not None and value.max() > high - margin))

    maps = np.asarray(look.ltm).mean(axis=(0, 1))
    return {
        "gain": near(look.gain, 0.25, 4.0),
        **{f"gtm {name}": near(value, 0.0) for name, value in zip("abc", look.gtm, strict=True)},
        **{f"ltm {name}": near(value, 0.0) for name, value in zip("wabcg", maps, strict=True)},
        "gamma": near(1.0 / look.inverse_gamma, 1.2, 3.0),
    }


def effect(full, without):
    """What leaving a stage out does: (brightness EV, contrast EV, local EV, colour), each without a sign.

    Brightness: of mean luma in display-linear light. Contrast: of the spread of log luma. Local: what is left of the
    change of log luma when the best cubic curve of it is taken away, RMS. Colour: mean change of (Cb, Cr) / Y.
    """
    luma, chroma = [], []
    for image in (full, without):
        ycbcr = np.asarray(rgb_to_ycbcr(jnp.power(jnp.clip(image, 0, 1), 2.2)), np.float64)
        luma.append(np.maximum(ycbcr[..., 0], 0) + 4e-3)
        chroma.append(ycbcr[..., 1:] / (ycbcr[..., :1] + 0.02))
    logs = [np.log2(y).ravel() for y in luma]
    spread = [max(log.std(), 1e-6) for log in logs]
    change = logs[0] - logs[1]
    curve = np.polynomial.Polynomial.fit(logs[1], change, 3)
    return (
        abs(np.log2(luma[0].mean() / luma[1].mean())),
        abs(np.log2(spread[0] / spread[1])),
        float(np.sqrt(np.mean((change - curve(logs[1])) ** 2))),
        float(np.linalg.norm(chroma[0] - chroma[1], axis=-1).mean()),
    )


def tables_of(results):
    """The page's tables by name."""
    speeds = denoise.Validation.SPEEDS
    heads = ["photos", "target", "", *(f"ISO {speed:.0f}" for speed in speeds)]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    found = {(r["zoom"], r["target"], r["network"], r["iso"]): r["psnr"] for r in results["denoisers"]}
    for zoom, target, network in sorted({key[:3] for key in found}, key=lambda k: (*k[:2], k[2] != "input", k[2])):
        values = [found[zoom, target, network, speed] for speed in speeds]
        noisy = [found[zoom, target, "input", speed] for speed in speeds]
        gains = [f"{value - before:+.2f}" for value, before in zip(values, noisy, strict=True)]
        cells = [f"*{value:.1f} dB*" for value in values] if network == "input" else gains
        softness = "as they are" if zoom == 1 else f"enlarged {zoom}x"
        rows.append(f"| {softness} | {target} | {network} | {' | '.join(cells)} |")
    pages = {"denoisers": rows}
    heads = [
        "style",
        "PSNR",
        "worst",
        "neutral",
        "behind base",
        "neutral",
        "2x",
        "neutral",
        "enhanced, full size",
        "gain",
        "gamma",
        "GTM on mean luma",
        "at a bound",
    ]
    shown = ("score", "worst", "neutral", "score_base", "neutral_base", "score_2x", "neutral_2x")
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for style, n in results["styles"].items():
        e = results["enhancement"].get(style)
        worst = max(n["at_bound"], key=n["at_bound"].get)
        cells = [style, *(f"{n[key]:.2f}" for key in shown)]
        cells.append(f"{e['input']:.2f} → {e['output']:.2f}" if e else "-")
        cells += [f"{n[f'{name}_min']:.2f} to {n[f'{name}_max']:.2f}" for name in ("gain", "gamma")]
        cells.append(f"{n['gtm_percent']:.1f}%")
        cells.append(f"{worst} {100 * n['at_bound'][worst]:.0f}%" if n["at_bound"][worst] else "none")
        rows.append(f"| {' | '.join(cells)} |")
    pages["styles"] = rows
    rows = ["| style | left out | brightness EV | contrast EV | local EV | colour |", "|---" * 6 + "|"]
    for style, n in results["styles"].items():
        for stage, values in n["without"].items():
            rows.append(f"| {style} | {stage} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    pages["jobs"] = rows
    return pages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos/val"))
    parser.add_argument("--tables", type=Path, default=Path("../shared/data/tables"))
    parser.add_argument("--published", type=Path, help="generic_lite.pth, to compare with")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="the others stay as they were")
    parser.add_argument("--write", action="store_true", help="fill in the tables of docs/weights.md")
    options = parser.parse_args()
    about, cameras = machine(), cameras_of(options.tables)
    results = read_results("weights")
    if "denoisers" in options.parts:
        experiment = denoise.DenoiseExperiment(val_photos=options.photos, tables=options.tables)
        results["denoisers"] = denoisers(experiment, cameras, options.published)
    if "styles" in options.parts:
        results["styles"] = {}
        finishing = photofinish.PhotofinishExperiment(
            val_photos=options.photos, tables=options.tables, denoiser=WEIGHTS / "denoise-lite.safetensors"
        )
        cases = {
            "lite": finishing,
            "base": dataclasses.replace(finishing, denoiser=WEIGHTS / "denoise-base.safetensors"),
            "2x": dataclasses.replace(finishing, val_zoom=2),
        }
        fronts = {name: photofinish.validation_fronts(case, cameras) for name, case in cases.items()}
        for style in STYLES:
            results["styles"][style] = style_numbers(style, fronts)
            print(style, results["styles"][style], file=sys.stderr, flush=True)
    cards = {style: read_card(WEIGHTS / f"style-{style}.safetensors") for style in STYLES}
    results["enhancement"] = {style: card["numbers"].get("enhance") for style, card in cards.items()}
    tables = tables_of(results)
    print("\n\n".join("\n".join(rows) for rows in tables.values()))
    if options.write:
        print(write_results("weights", results, about))
        for name, rows in tables.items():
            write_table(PAGE, name, rows)


if __name__ == "__main__":
    main()
