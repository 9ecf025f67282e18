"""What fitting looks and styles is worth: the numbers of docs/fit.md.

    python3 dev.py run benchmarks/fit.py --write

Parts, each kept in benchmarks/results/fit.json as soon as it is done, so that ``--parts`` measures one alone:

* ``looks``: pictures made with known looks, predicted by the styles that ship or drawn at random; how near a fit from
  the neutral start comes.
* ``photos``: finished photos against what cameras drawn at random would have seen of them.
* ``shifts``: the same of four photos, the target moved by some pixels.
* ``bends``: how straight the LUTs are to be kept: the closed form of ``faded`` by the weight on their curvature.
* ``faded``, ``pastel``: styles that do not ship, fitted from ten pairs and measured on twelve other photos, beside the
  styles that do.

The photos are those of training and validation (``train/``); all seeds are fixed.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import machine, read_results, write_results, write_table
from modisp_jax.checkpoints import STYLES, load_params
from modisp_jax.config import RenderConfig
from modisp_jax.fit import FitLookConfig, FitStyleConfig, fit_look, fit_style
from modisp_jax.fit.look import neutral_look
from modisp_jax.io.images import write_image
from modisp_jax.io.resize import resize_area
from modisp_jax.look import apply_look, finish_by_networks, predict_look
from modisp_jax.sheet import draw_columns
from modisp_jax.types import Edits, Look
from modisp_jax.unprocess import UnprocessConfig
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder
from train.photofinish import simulate
from train.targets import Renderer, render_target
from train.transforms import turned

PAGE = Path(__file__).parent.parent / "docs" / "fit.md"
SIZE = (256, 384)
SMALL = (192, 256)
"""Of the pictures of which styles are fitted and measured: a quarter of a photo of 1024 pixels."""

SHOTS = UnprocessConfig(iso=(50.0, 3200.0))
RANDOM_LOOKS = 5
SHIFTS = ((3, -2), (-7, 5), (1.4, -2.6))

PAIRS = 10
START = "natural"
"""Where fits of styles start: the default style."""

BENDS = (0.0, 1.0, 10.0, 100.0, 1000.0)

RENDERERS = {
    "faded": Renderer(
        "cool faded film, lifted blacks",
        key=0.11,
        balance=(0.93, 1.0, 1.1),
        contrast=0.85,
        saturation=0.65,
        shadow_tint=(0.07, 0.09, 0.12),
        highlight_tint=(-0.05, 0.0, -0.01),
        rgb_lut=True,
    ),
    "pastel": Renderer(
        "high-key pastel",
        key=0.26,
        adaptation=0.85,
        local=0.2,
        contrast=0.78,
        white=1.6,
        saturation=0.75,
        shadow_tint=(0.1, 0.07, 0.09),
        rgb_lut=True,
    ),
}
"""Looks that no style has which ships."""


def photos_of(folder, size):
    """Name and picture [h, w, 3] of every photo of a folder; upright ones have the size turned."""
    photos = PhotoFolder(folder)
    for name, sample in zip(photos.names, (photos[i] for i in range(len(photos))), strict=True):
        photo = sample["srgb"]
        yield name, jnp.asarray(resize_area(photo, turned(size, photo)), jnp.float32) / 255.0


def seen(folder, size, cameras, seed, count=None):
    """(name, linear, scene, photo) of photos: what photofinishing would see of them, and the same without noise."""
    take = jax.jit(simulate, static_argnames="shots")
    found = list(photos_of(folder, size))
    keys = jax.random.split(jax.random.key(seed), len(found))
    step = 1 if count is None else len(found) // count
    for (name, photo), key in list(zip(found, keys, strict=True))[::step][:count]:
        yield name, *take(key, photo, cameras, SHOTS), photo


def random_look(key, size):
    """A look drawn at random: every coefficient moved, the maps and the chroma map smoothly."""
    k = jax.random.split(key, 8)
    start = neutral_look(size)

    def smooth(key, shape, nodes):
        small = jax.random.normal(key, (nodes, nodes, shape[-1]))
        return jax.image.resize(small, shape, "cubic", precision="highest")

    gtm = jnp.exp2(0.4 * jax.random.normal(k[1], (3,)))
    w, g = 1 + 0.5 * smooth(k[2], (*size, 1), 3), jnp.exp2(0.3 * smooth(k[4], (*size, 1), 3))
    ltm = jnp.concatenate([w, gtm * jnp.exp2(0.3 * smooth(k[3], (*size, 3), 3)), g], axis=-1)
    turn = 1.1 * jnp.eye(2) + 0.2 * jax.random.normal(k[5], (2, 2))
    chroma = start.chroma_lut @ turn + 0.01 * jax.random.normal(k[6], (2,)) + 0.02 * smooth(k[7], (24, 24, 2), 5)
    gain, gamma = jnp.exp2(0.6 * jax.random.normal(k[0])), 1.8 + 0.8 * jax.random.uniform(k[0])
    return Look(gain, gtm, ltm, chroma, 1 / gamma, None)


_compiled = set()


def timed_fit(source, target, **options):
    """A fit, what it takes once compiled as seconds, and its time in forward passes of the same picture."""
    program = (source.shape, target.shape, *options.items())
    if program not in _compiled:
        fit_look(source, target, **options).psnr.block_until_ready()
        _compiled.add(program)
    start = time.perf_counter()
    found = jax.block_until_ready(fit_look(source, target, **options))
    seconds = time.perf_counter() - start
    apply_look(found.look, found.linear).block_until_ready()
    passes = []
    for _ in range(5):
        start = time.perf_counter()
        apply_look(found.look, found.linear).block_until_ready()
        passes.append(time.perf_counter() - start)
    return found, {"psnr": round(float(found.psnr), 2), "s": round(seconds, 1), "passes": round(seconds / min(passes))}


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def measure_looks(options, cameras):
    """Fits to pictures made with known looks."""
    scenes = list(seen(options.photos, SIZE, cameras, VALIDATION_SEED))
    known = []
    for k, style in enumerate(STYLES):
        linear = scenes[k][1]
        known.append((style, linear, predict_look(load_params("neutral", style=style)["photofinish"], linear)))
    for k in range(RANDOM_LOOKS):
        linear = scenes[len(STYLES) + k][1]
        known.append((f"random {k + 1}", linear, random_look(jax.random.key(k), linear.shape[:2])))
    rows, sheet = {}, []
    for name, linear, look in known:
        target = apply_look(look, linear)
        found, rows[name] = timed_fit(linear, target, rgb_lut=look.rgb_lut is not None)
        say(name, rows[name])
        sheet.append(cells(found))
    return rows, sheet


def cells(found):
    """A fit's row of the sheet: source, target, picture, error."""
    picture, target = np.asarray(found.picture), np.asarray(found.target)
    return [np.asarray(found.linear) ** (1 / 2.2), target, picture, np.clip(8 * np.abs(picture - target), 0, 1)]


def measure_photos(options, cameras):
    """Fits to the cameras' own pictures."""
    rows, sheet = {}, []
    for name, linear, _, photo in seen(options.photos, SIZE, cameras, VALIDATION_SEED):
        found, rows[name] = timed_fit(linear, photo)
        rows[name]["global"] = round(float(fit_look(linear, photo, ltm=False).psnr), 2)
        rows[name]["neutral"] = round(float(-10 * jnp.log10(jnp.mean((linear ** (1 / 2.2) - photo) ** 2))), 2)
        say(name, rows[name])
        sheet.append(cells(found))
    return rows, sheet


def moved(photo, shift, margin):
    """A photo's inner part, and the part that lies ``shift`` away: as a picture would that was cropped elsewhere."""
    h, w = (n - 2 * margin for n in photo.shape[:2])
    place = jnp.array([margin, margin], jnp.float32)
    part = lambda at: jax.image.scale_and_translate(photo, (h, w, 3), (0, 1), jnp.ones(2), -at, "linear")  # noqa: E731
    return part(place), jnp.clip(part(place - jnp.array(shift)), 0, 1)


def measure_shifts(options, cameras):
    """Fits to photos that do not lie on their source: with the shift found, and without looking for it."""
    rows, sheet = {}, []
    scenes = list(seen(options.photos, (288, 416), cameras, VALIDATION_SEED))[:4]
    for shift in SHIFTS:
        values = []
        for _, linear, _, photo in scenes:
            source, target = moved(linear, (0, 0), 16)[0], moved(photo, shift, 16)[1]
            found = fit_look(source, target)
            blind = fit_look(source, target, config=FitLookConfig(most_shift=0))
            error = np.abs(np.asarray(found.shift) - np.array(shift)).max()
            values.append((float(found.psnr), float(blind.psnr), float(error)))
            sheet.append(cells(found))
        found, blind, error = np.array(values).T
        rows[str(shift)] = {
            "psnr": round(found.mean(), 2),
            "worst": round(found.min(), 2),
            "blind": round(blind.mean(), 2),
            "error": round(error.max(), 2),
        }
        say(shift, rows[str(shift)])
    return rows, sheet


def finished(photofinish, linear):
    """What photofinishing's networks make of a picture."""
    return finish_by_networks(photofinish, linear, Edits(), RenderConfig())[1].srgb


def psnr(picture, target):
    return float(-10 * jnp.log10(jnp.mean(jnp.square(picture - target))))


def style_pairs(name, options, cameras):
    """Ten pairs of training photos in a style, and twelve of other photos."""
    renderer = RENDERERS[name]
    taken = ((options.train, 7, PAIRS), (options.photos, VALIDATION_SEED, None))
    return tuple(
        [(linear, render_target(renderer, scene)) for _, linear, scene, _ in seen(folder, SMALL, cameras, seed, count)]
        for folder, seed, count in taken
    )


def measure_bends(options, cameras):
    """The closed form of a style on its pairs and on other photos, by the weight on the LUTs' curvature."""
    train, unseen = style_pairs("faded", options, cameras)
    rows, sheet = {}, [[np.asarray(y)] for _, y in unseen]
    for weight in BENDS:
        config = FitStyleConfig(curvature=weight)
        fitted = fit_style(load_params("neutral", style=START), train, rgb_lut=True, steps=0, config=config)
        photofinish = fitted.params["photofinish"]
        pictures = [np.asarray(finished(photofinish, x)) for x, _ in unseen]
        values = [psnr(picture, y) for picture, (_, y) in zip(pictures, unseen, strict=True)]
        on_pairs = np.mean([psnr(finished(photofinish, x), y) for x, y in train])
        rows[f"{weight:g}"] = {"pairs": round(float(on_pairs), 2), "unseen": round(float(np.mean(values)), 2)}
        rows[f"{weight:g}"]["worst"] = round(min(values), 2)
        say(weight, rows[f"{weight:g}"])
        for row, picture in zip(sheet, pictures, strict=True):
            row.append(picture)
    return rows, sheet


def measure_style(name, options, cameras):
    """A style fitted from few pairs, on other photos, beside the styles that ship and the start in closed form."""
    train, unseen = style_pairs(name, options, cameras)
    shipped = {}
    for style in STYLES:
        photofinish = load_params("neutral", style=style)["photofinish"]
        shipped[style] = float(np.mean([psnr(finished(photofinish, x), y) for x, y in unseen]))
    say(name, shipped)
    seconds, found = {}, {}
    for kind, steps in (("closed form", 0), ("fitted", options.steps)):
        begin = time.perf_counter()
        found[kind] = fit_style(load_params("neutral", style=START), train, rgb_lut=True, steps=steps, progress=show)
        seconds[kind] = time.perf_counter() - begin
    values = {kind: [psnr(finished(fit.params["photofinish"], x), y) for x, y in unseen] for kind, fit in found.items()}
    nearest = max(shipped, key=shipped.get)
    row = {
        "nearest": nearest,
        "shipped": {style: round(value, 2) for style, value in shipped.items()},
        **{kind: round(float(np.mean(v)), 2) for kind, v in values.items()},
        "worst": round(min(values["fitted"]), 2),
        "gain": round(float(np.mean(values["fitted"])) - shipped[nearest], 2),
        "steps": options.steps,
        "minutes": {kind: round(s / 60, 1) for kind, s in seconds.items()},
        "load": round(os.getloadavg()[0], 1),
        "history": found["fitted"].history,
    }
    say(name, row)
    base = load_params("neutral", style=nearest)["photofinish"]
    fitted = found["fitted"].params["photofinish"]
    sheet = [
        [np.asarray(x) ** (1 / 2.2), np.asarray(finished(base, x)), np.asarray(finished(fitted, x)), np.asarray(y)]
        for x, y in unseen
    ]
    return row, sheet


def show(record):
    if "score" in record or record["step"] % 10 == 0:
        say({key: round(value, 3) if isinstance(value, float) else value for key, value in record.items()})


MEASURES = {
    "looks": (measure_looks, ("source", "target", "fitted", "8 x error")),
    "photos": (measure_photos, ("source", "target", "fitted", "8 x error")),
    "shifts": (measure_shifts, ("source", "target", "fitted", "8 x error")),
    "bends": (measure_bends, ("target", *map(str, BENDS))),
    "faded": (lambda *a: measure_style("faded", *a), ("source", "nearest shipped", "fitted", "target")),
    "pastel": (lambda *a: measure_style("pastel", *a), ("source", "nearest shipped", "fitted", "target")),
}


def tables_of(results):
    """The page's tables by name, of what has been measured."""
    pages = {}
    for part, heads in (("looks", ("look", "PSNR", "s", "passes")), ("photos", ("photo", "PSNR", "s", "passes"))):
        if part in results:
            rows, more = results[part], ("global", "neutral") if part == "photos" else ()
            keys = ("psnr", "s", "passes", *more)
            table = [f"| {' | '.join((*heads, *more))} |", "|---" * (len(keys) + 1) + "|"]
            table += [f"| {name} | {' | '.join(str(row[key]) for key in keys)} |" for name, row in rows.items()]
            columns = {key: [row[key] for row in rows.values()] for key in keys}
            means = [f"{np.mean(column):.1f}" for column in columns.values()]
            worst = [str((max if key in ("s", "passes") else min)(column)) for key, column in columns.items()]
            pages[part] = [*table, f"| **mean** | {' | '.join(means)} |", f"| **worst** | {' | '.join(worst)} |"]
    if "shifts" in results:
        rows = [
            "| target moved by | PSNR | worst | without looking for it | error of the shift |",
            "|---|---|---|---|---|",
        ]
        for shift, row in results["shifts"].items():
            rows.append(f"| {shift} | {row['psnr']} | {row['worst']} | {row['blind']} | {row['error']} |")
        pages["shifts"] = rows
    if "bends" in results:
        rows = ["| weight | its ten pairs | unseen photos | worst of them |", "|---|---|---|---|"]
        rows += [
            f"| {weight} | {r['pairs']} | {r['unseen']} | {r['worst']} |" for weight, r in results["bends"].items()
        ]
        pages["bends"] = rows
    styles = [name for name in RENDERERS if name in results]
    if styles:
        heads = ["style", *STYLES, "closed form", "fitted", "worst", "gain", "minutes", "load"]
        rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for name in styles:
            row = results[name]
            numbers = [row["shipped"][style] for style in STYLES] + [row[key] for key in heads[6:10]]
            rows.append(f"| {name} | {' | '.join(map(str, numbers))} | {row['minutes']['fitted']} | {row['load']} |")
        pages["styles"] = rows
    return pages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos/val"))
    parser.add_argument("--train", type=Path, default=Path("../shared/data/photos/train"))
    parser.add_argument("--tables", type=Path, default=Path("../shared/data/tables"))
    parser.add_argument("--parts", nargs="*", choices=MEASURES, default=MEASURES, help="the others stay as they were")
    parser.add_argument("--steps", type=int, default=120, help="training steps of a style")
    parser.add_argument("--sheets", type=Path, help="folder for pictures to look at")
    parser.add_argument("--write", action="store_true", help="keep the numbers, fill in the tables of docs/fit.md")
    options = parser.parse_args()
    if options.sheets is not None:
        options.sheets.mkdir(parents=True, exist_ok=True)
    about, cameras, results = machine(), cameras_of(options.tables), read_results("fit")
    for part in options.parts:
        measure, titles = MEASURES[part]
        results[part], sheet = measure(options, cameras)
        if options.sheets is not None:
            write_image(options.sheets / f"{part}.png", draw_columns(sheet, titles, height=160))
        if options.write:
            print(write_results("fit", results, about))
    for name, rows in tables_of(results).items():
        print("\n".join(rows), end="\n\n")
        if options.write:
            write_table(PAGE, name, rows)


if __name__ == "__main__":
    main()
