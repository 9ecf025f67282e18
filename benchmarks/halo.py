"""How strong are the halos of local tone mapping, and what do the halo fix's settings do to them, at what cost?

    python3 dev.py run benchmarks/halo.py ../shared/data/raw/GPBK7066.DNG ../shared/data/raw/GOPR0024.DNG --write
    python3 dev.py run benchmarks/halo.py ../shared/data/raw/GPBK7066.DNG --parts --pictures

Each style that ships on raw photos (halo strength of the finished small picture), and on the validation photos of
training (PSNR against the style's target). ``--published`` adds the published styles, measured only. ``--write`` fills
in the tables of docs/halo_fix.md, ``--pictures`` makes its pictures from the first photo.
"""

import dataclasses
import functools
from pathlib import Path

import common
import jax
import numpy as np
import tyro
from tyro.conf import Positional

import modisp_jax as mj
from modisp_jax.checkpoints import STYLES, WEIGHTS
from modisp_jax.color import RGB_TO_YCBCR
from modisp_jax.config import PUBLISHED_HALO_FIX
from modisp_jax.halo import FLOOR, halo_sides
from modisp_jax.io.images import apply_orientation, write_image
from modisp_jax.look import finish_by_networks
from modisp_jax.metrics import psnr
from modisp_jax.params import nafnet_config
from modisp_jax.pipeline import shrink
from modisp_jax.sheet import draw_columns
from modisp_jax.stages import restore
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.torch_import import import_photofinish
from modisp_jax.types import Edits
from train import photofinish
from train.cameras import cameras_of
from train.targets import STYLES as RENDERERS

ROOT = Path(__file__).resolve().parent.parent
PAGE, IMAGES = ROOT / "docs" / "halo_fix.md", ROOT / "docs" / "images"
PARTS = ("strength", "cost", "time", "study")
SETTINGS = {"without": None, "published": PUBLISHED_HALO_FIX, "ours": mj.HaloFixConfig()}
"""The halo fix's settings by name."""
FIX = mj.HaloFixConfig
STUDY = {
    "several scales, no solver": FIX(PUBLISHED_HALO_FIX.scales, iterations=0),
    "several scales, 80 iterations (published)": PUBLISHED_HALO_FIX,
    "one scale, no solver": FIX(iterations=0),
    "one scale, 80 iterations": FIX(iterations=80),
    "one scale, 160 iterations (ours)": FIX(),
    "one scale, 320 iterations": FIX(iterations=320),
    "ours, sigma_range .004": FIX(sigma_range=0.004),
    "ours, sigma_range .016": FIX(sigma_range=0.016),
    "ours, fidelity .002": FIX(fidelity=2e-3),
}
"""What each setting is for."""
STUDY_OF = ("warm", "published style-1")
"""The styles with the strongest halos, ours and published."""
TITLES = ("without halo fix", "published fix", "our fix")
CROP, ENLARGED = 128, 3
"""Side of the pictures' detail in small pixels, and how often each is drawn."""
EV_SHOWN = 0.25
"""What local tone mapping adds or takes that is drawn white or black."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    photos: Positional[tuple[Path, ...]]
    """Raw photos."""
    parts: tuple[str, ...] = PARTS
    """What to measure; the rest stays as it was. Of strength, cost, time, study."""
    published: Path | None = None
    """Folder with photofinishing_s24-style-*.pth."""
    val_photos: Path = Path("../shared/data/photos/val")
    """Finished photos to measure the cost on."""
    tables: Path = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv."""
    repeats: int = 9
    """Runs to take the time of."""
    write: bool = False
    """Replace results/halo.json and the tables of docs/halo_fix.md."""
    pictures: bool = False
    """Make docs/images/halo_PHOTO.png from the first photo."""
    style: str = "warm"
    """Whose pictures."""


def small_scene(path):
    """(small linear sRGB of a raw photo as photofinishing sees it, EXIF orientation)."""
    raw, denoiser = mj.read_raw(path), mj.load_params()["denoise"]
    image = restore.denoise(denoiser, raw.image, nafnet_config(denoiser))
    linear = to_linear_srgb(image, raw.illuminant, raw.ccm, saturation=raw.saturation)
    return jax.block_until_ready(shrink(linear)), raw.metadata.orientation


def finish(params, linear, settings, local=1.0):
    """FinishedStages of a small scene."""
    return finish_by_networks(params, linear, Edits(ltm=local), mj.RenderConfig(halo_fix=settings))[1]


def strengths(params, linear):
    """Halo strength by setting, and that of the picture without local tone mapping; whole, and without local slope."""
    pictures = {name: finish(params, linear, settings).srgb for name, settings in SETTINGS.items()}
    pictures["control"] = finish(params, linear, None, local=0.0).srgb
    return {
        kind: {name: float(mj.halo_strength(x, linear, local_slope=slope)) for name, x in pictures.items()}
        for kind, slope in (("strength", True), ("without_slope", False))
    }


def study(params, linear):
    """Halo strength as a share of that without halo fix, and PSNR in dB to that picture, by setting."""
    plain = finish(params, linear, None).srgb
    whole, rows = mj.halo_strength(plain, linear), {}
    for name, settings in STUDY.items():
        picture = finish(params, linear, settings).srgb
        rows[name] = {"left": float(mj.halo_strength(picture, linear) / whole), "psnr": float(psnr(picture, plain))}
        print(name, rows[name], flush=True)
    return rows


def cost(style, fronts):
    """Mean PSNR in dB of one style on the validation photos, and the largest loss on a photo, by setting."""
    params = mj.load_params(style=style)["photofinish"]
    pairs = photofinish.Validation(fronts, RENDERERS[style]).pairs
    scores = {
        name: np.array([float(psnr(finish(params, linear, settings).srgb, target)) for linear, target in pairs])
        for name, settings in SETTINGS.items()
    }
    losses = {name: float((scores["without"] - values).max()) for name, values in scores.items()}
    return {name: {"psnr": float(values.mean()), "largest_loss": losses[name]} for name, values in scores.items()}


def times(params, linear, repeats):
    """Summary of run times by setting, run in turn: what else the machine does then falls on all alike."""
    runs = {name: functools.partial(finish, params, linear, settings) for name, settings in SETTINGS.items()}
    found = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            seconds = common.run_times(run, 1, warm=True)
            found[name] += seconds if turn else []
    return {name: common.summary(seconds) for name, seconds in found.items()}


def tables_of(results):
    """The page's tables by name."""
    kinds = {"strength": results.get("strength", {}), "published": results.get("strength_published", {})}
    tables = {}
    for table, photos in kinds.items():
        for kind, name in (("strength", table), ("without_slope", f"{table}_without_slope")):
            heads = ["photo", "style", "global only", "without", "published fix", "left", "our fix", "left"]
            rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
            for photo, styles in photos.items():
                for style, found in styles.items():
                    n = found[kind]
                    cells = [photo, style, f"{n['control']:.3f}", f"{n['without']:.3f}"]
                    for fix in ("published", "ours"):
                        cells += [f"{n[fix]:.3f}", f"{100 * n[fix] / n['without']:.0f}%"]
                    rows.append(f"| {' | '.join(cells)} |")
            tables[name] = rows
    rows = [
        "| style | without | published fix | our fix | largest loss on a photo, published | ours |",
        "|---" * 6 + "|",
    ]
    for style, n in results.get("cost", {}).items():
        scores = [f"{n[name]['psnr']:.2f}" for name in SETTINGS]
        losses = [f"{n[name]['largest_loss']:.2f}" for name in ("published", "ours")]
        rows.append(f"| {style} | {' | '.join(scores + losses)} |")
    tables["cost"] = rows
    rows = ["| halo fix | median | quartiles |", "|---" * 3 + "|"]
    for name, n in results.get("time", {}).items():
        if name in SETTINGS:
            rows.append(f"| {name} | {n['median_s']:.2f} s | {n['iqr_s'][0]:.2f} to {n['iqr_s'][1]:.2f} s |")
    tables["time"] = rows
    found = results.get("study", {})
    rows = [f"| | {' | '.join(f'{style}: left | PSNR to without' for style in found)} |"]
    rows.append("|---" * (2 * len(found) + 1) + "|")
    for name in STUDY:
        cells = [f"{100 * n[name]['left']:.0f}% | {n[name]['psnr']:.1f}" for n in found.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    tables["study"] = rows
    return tables


def strongest(excess, side):
    """Top and left of the window of ``side`` pixels with the largest sum of |h|, of [4, h, w]."""
    sums = np.pad(np.abs(np.asarray(excess, np.float64)).sum(axis=0), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.unravel_index(inside.argmax(), inside.shape)


def draw(params, linear, orientation, style):
    """The detail with the strongest halos: the picture, and below what local tone mapping does to luma, in EV."""
    stages = {name: finish(params, linear, settings) for name, settings in SETTINGS.items()}
    top, left = strongest(halo_sides(stages["without"].srgb, linear)[0], CROP)

    def detail(image):
        crop = np.asarray(image)[top : top + CROP, left : left + CROP]
        return np.kron(apply_orientation(crop, orientation), np.ones((ENLARGED, ENLARGED, 1)))

    def change(finished):
        luma = [np.asarray(x) @ RGB_TO_YCBCR[0] + FLOOR for x in (finished.local_tone, finished.global_tone)]
        grey = np.clip(0.5 + np.log2(luma[0] / luma[1]) / (2 * EV_SHOWN), 0, 1)
        return np.repeat(grey[..., None], 3, axis=-1)

    rows = [[detail(view(finished)) for finished in stages.values()] for view in (lambda x: x.srgb, change)]
    return draw_columns(rows, [f"{style}, {name}" for name in TITLES], height=CROP * ENLARGED)


def main(options: Options):
    about, results = common.machine(), common.read_results("halo")
    scenes = {path.stem: small_scene(path) for path in options.photos}
    styles = {style: mj.load_params(style=style)["photofinish"] for style in STYLES}
    if "strength" in options.parts:
        results["strength"] = {
            photo: {style: strengths(params, linear) for style, params in styles.items()}
            for photo, (linear, _) in scenes.items()
        }
    published = {}
    if options.published is not None:
        files = sorted(options.published.glob("photofinishing_s24-style-*.pth"))
        published = {f"published {path.stem.split('-', 1)[1]}": import_photofinish(path) for path in files}
    if "strength" in options.parts and published:
        results["strength_published"] = {
            photo: {style: strengths(params, linear) for style, params in published.items()}
            for photo, (linear, _) in scenes.items()
        }
    if "cost" in options.parts:
        experiment = photofinish.PhotofinishExperiment(
            val_photos=options.val_photos, tables=options.tables, denoiser=WEIGHTS / "denoise-lite.safetensors"
        )
        fronts = photofinish.validation_fronts(experiment, cameras_of(options.tables))
        results["cost"] = {style: cost(style, fronts) for style in STYLES}
    if "time" in options.parts:
        linear, _ = next(iter(scenes.values()))
        results["time"] = {"size": list(linear.shape[:2])} | times(styles["natural"], linear, options.repeats)
    if "study" in options.parts:
        linear, _ = next(iter(scenes.values()))
        found = {style: params for style, params in (styles | published).items() if style in STUDY_OF}
        results["study"] = {style: study(params, linear) for style, params in found.items()}
    for name, rows in tables_of(results).items():
        print(f"\n{name}\n" + "\n".join(rows))
    if options.write:
        print(f"written to {common.write_results('halo', results, about)}")
        for name, rows in tables_of(results).items():
            common.write_table(PAGE, name, rows)
    if options.pictures:
        photo, (linear, orientation) = next(iter(scenes.items()))
        path = IMAGES / f"halo_{photo.lower()}.png"
        print(write_image(path, draw(styles[options.style], linear, orientation, options.style)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
