"""Measures renderings against target pictures: what ``modisp eval`` does. See docs/evaluation.md."""

import dataclasses
import functools
import hashlib
import json
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax import __version__, compile_cache
from modisp_jax.color import srgb_encode
from modisp_jax.config import HaloFixConfig, RenderConfig
from modisp_jax.describe import explain
from modisp_jax.io.images import FORMATS, apply_orientation, quantize, read_image, replacing, write_image
from modisp_jax.io.json_text import read_json
from modisp_jax.metrics import delta_e2000, lpips, psnr, ssim
from modisp_jax.pipeline import render, render_stages, shrink
from modisp_jax.raw import read_raw
from modisp_jax.render_files import FAILURES, load_style
from modisp_jax.sheet import draw_sheet
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.vgg_file import WITHOUT_LPIPS, load_lpips

METRICS = {"psnr": "PSNR dB", "ssim": "SSIM", "delta_e2000": "dE2000", "lpips": "LPIPS"}
FORMAT = "modisp_jax evaluation 1"
CELL = 384
"""Longest side of the sheet's pictures in pixels."""


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """The options of ``modisp eval``, see :func:`modisp_jax.cli.evaluate`."""

    folder: Path | None = None
    pictures: Path | None = None
    targets: Path | None = None
    inputs: str = "raw_images"
    params: str = "default"
    style: str | None = None
    clipped_highlights: str = "neutral"
    halo_fix: bool = False
    small: bool = False
    limit: int | None = None
    lpips_vgg: Path | None = None
    lpips_linear: Path | None = None
    json: Path | None = None
    sheet: Path | None = None
    worst: int = 6
    overwrite: bool = False


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured: a raw photo or a finished picture, and its target, None where there is none."""

    name: str
    source: Path
    target: Path | None


def evaluate(options):
    """Measures every picture; prints a table, writes JSON and sheet. Returns exit code 2 if a picture failed.

    The JSON is replaced as a whole after each picture; called again with the same options, it goes on from there.

    Raises:
      ValueError: nothing to measure, or options that contradict each other or an earlier JSON.
    """
    _check(options)
    compile_cache.enable()
    cases, settings, produce = _pictures_job(options) if options.pictures else _split_job(options)
    settings["version"] = __version__
    weights = None
    if options.lpips_vgg is None:
        _progress(WITHOUT_LPIPS)
    else:
        weights = load_lpips(options.lpips_vgg, options.lpips_linear)
        settings["lpips"] = [_identity(options.lpips_vgg), _identity(options.lpips_linear)]
    images, failed, rows = _earlier(options, settings, cases), {}, {}
    for number, case in enumerate(cases, 1):
        label = f"[{number}/{len(cases)}] {case.name}: "
        if case.name in images:
            _progress(f"{label}measured before, in {options.json}")
            continue
        try:
            view, picture, target = produce(case)
            images[case.name] = measure(picture, target, weights)
            if options.sheet is not None and case.name in worst(images, options.worst):
                rows[case.name] = _sheet_row(view, picture, target)
            _progress(label + ", ".join(f"{METRICS[key]} {value:.4f}" for key, value in images[case.name].items()))
        except FAILURES as error:
            failed[case.name] = explain(error, case.source)
            print(f"modisp: error: {failed[case.name]}", file=sys.stderr, flush=True)
        _save(options, settings, images, failed)
    _save(options, settings, images, failed)
    print(table(images))
    if options.sheet is not None and images:
        _save_sheet(options, cases, images, rows, produce)
    if failed:
        _progress(f"{len(failed)} of {len(cases)} pictures failed")
    return 2 if failed else 0


def measure(picture, target, lpips_weights=None):
    """Measures a picture against its target.

    Args:
      picture, target: sRGB [H, W, 3] in [0, 1], at least 7 pixels a side.
      lpips_weights: of :func:`modisp_jax.vgg_file.load_lpips`, or None.

    Returns:
      A dict of Python numbers with the keys of ``METRICS``, ``lpips`` only with weights. PSNR may be infinite.
    """
    if not np.isfinite(picture).all():
        raise ValueError("expected a picture of finite numbers, got NaN or infinity")
    values = _measure(jnp.asarray(picture), jnp.asarray(target), lpips_weights)
    return {name: float(values[name]) for name in METRICS if name in values}


@jax.jit
def _measure(picture, target, lpips_weights):
    values = {metric.__name__: metric(picture, target) for metric in (psnr, ssim, delta_e2000)}
    if lpips_weights is not None:
        values["lpips"] = lpips(picture, target, lpips_weights)
    return values


def means(images):
    """Mean of each metric over pictures, ``{name: {metric: number}}``; that of PSNR is infinite where one is."""
    if not images:
        return {}
    return {key: math.fsum(v[key] for v in images.values()) / len(images) for key in next(iter(images.values()))}


def worst(images, count):
    """Names of the ``count`` pictures of least PSNR, worst first."""
    return sorted(images, key=lambda name: (images[name]["psnr"], name))[:count]


def table(images):
    """The measurements as text: a line a picture in order of name, and the mean."""
    rows = [(name, images[name]) for name in sorted(images)] + [(f"mean of {len(images)}", means(images))]
    width = max(len(name) for name, _ in rows)
    columns = list(rows[0][1])
    lines = [" ".join(["name".ljust(width), *(METRICS[key].rjust(9) for key in columns)])]
    lines += [" ".join([name.ljust(width), *(f"{values[key]:9.4f}" for key in columns)]) for name, values in rows]
    return "\n".join(lines)


def _check(options):
    """Whatever can be known to fail later fails here, before any work."""
    if (options.folder is None) == (options.pictures is None):
        raise ValueError("eval: expected either a FOLDER in the S24 layout, or --pictures and --targets")
    if options.pictures is not None and options.targets is None:
        raise ValueError("--pictures: expected --targets too, the folder to compare with")
    if (options.lpips_vgg is None) != (options.lpips_linear is None):
        raise ValueError("--lpips-vgg, --lpips-linear: expected both or none")
    for name, value in (("--limit", options.limit), ("--worst", options.worst)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected 1 or more, got {value}")
    for name, path, suffix in (("--json", options.json, ".json"), ("--sheet", options.sheet, ".png")):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"{name} {path}: expected a name ending in {suffix}")
        if path is not None and not path.parent.is_dir():
            raise ValueError(f"{name} {path}: the folder {path.parent} does not exist")


def _pictures_job(options):
    """Finished pictures against targets: the cases, the settings that identify the job, and what makes a case."""

    def produce(case):
        return None, *_fitting(case, read_image(case.source), 1, False)

    settings = {"pictures": str(options.pictures), "targets": str(options.targets)}
    return _cases(options.pictures, options.targets, FORMATS, options.limit), settings, produce


def _split_job(options):
    """Renderings of a split's raw photos against its targets."""
    inputs, targets = options.folder / options.inputs, _split_targets(options)
    cases = _cases(inputs, targets, (".png",), options.limit)
    params = load_style(options.params, options.style)
    config = RenderConfig(
        clipped_highlights=options.clipped_highlights, halo_fix=HaloFixConfig() if options.halo_fix else None
    )

    def produce(case):
        raw = read_raw(case.source)
        if options.small:
            picture = render_stages(params, raw, config=config).finished.srgb
        else:
            picture = render(params, raw, config=config)
        picture = np.asarray(jax.device_get(picture))
        return functools.partial(_plain_view, raw), *_fitting(case, picture, raw.metadata.orientation, options.small)

    settings = {"inputs": str(inputs), "targets": str(targets), "params": _identity(options.params)}
    settings |= {"style": options.style and _identity(options.style), "clipped_highlights": options.clipped_highlights}
    # All of its numbers, since its defaults may change; through JSON, so that it equals what was saved.
    halo_fix = config.halo_fix and json.loads(json.dumps(dataclasses.asdict(config.halo_fix)))
    return cases, settings | {"halo_fix": halo_fix, "small": options.small}, produce


def _split_targets(options):
    """The targets of a split: the folder named, within the split or anywhere, or the only one named srgb_images*."""
    if options.targets is not None:
        within = options.folder / options.targets
        return within if within.is_dir() else options.targets
    found = sorted(path for path in options.folder.glob("srgb_images*") if path.is_dir())
    if len(found) != 1:
        got = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"{options.folder}: expected one folder srgb_images*, or --targets to choose one; got {got}")
    return found[0]


def _cases(sources, targets, suffixes, limit):
    """The pictures of a folder by name, each with the target of that name, whatever its format."""
    found, wanted = _by_name(sources, suffixes), _by_name(targets, FORMATS)
    if not found:
        raise ValueError(f"{sources}: expected pictures ({', '.join(suffixes)}), found none")
    return [Case(name, path, wanted.get(name, targets / name)) for name, path in found.items()][:limit]


def _by_name(folder, suffixes):
    """Paths of a folder's pictures by their name without extension, in order."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of pictures, found none of that name")
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ValueError(f"{path}: expected one picture of each name, got {found[path.stem].name} too")
        found[path.stem] = path
    return found


def _identity(source):
    """Name of a parameter set; of a file also its checksum, so that another file in its place is noticed."""
    path = Path(source)
    return f"{source}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else str(source)


def _fitting(case, picture, orientation, small):
    """(picture, target) of one size. Both are taken as stored; the picture is turned upright where only that fits.

    With ``small`` the target is shrunk as photofinishing's input is.
    """
    if not case.target.is_file():
        raise ValueError(f"{case.source}: expected its target {case.target}{{{','.join(FORMATS)}}}, found none")
    target = read_image(case.target)
    target = np.asarray(shrink(target)) if small else target
    turned = apply_orientation(picture, orientation)
    if picture.shape != target.shape and turned.shape == target.shape:
        picture = np.ascontiguousarray(turned)
    if picture.shape != target.shape:
        ours, theirs = (f"{image.shape[1]} x {image.shape[0]}" for image in (picture, target))
        raise ValueError(f"{case.source}: expected a target of {ours} pixels, got {theirs}: {case.target}")
    return picture, target


def _earlier(options, settings, cases):
    """What an earlier run has measured of these pictures, by its JSON; raises where that is of another job."""
    if options.json is None or options.overwrite or not options.json.exists():
        return {}
    try:
        report = read_json(options.json)
        if report["format"] != FORMAT:
            raise ValueError(report["format"])
        images = {
            name: {key: math.inf if value is None else float(value) for key, value in values.items()}
            for name, values in report["images"].items()
        }
        earlier = report["settings"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{options.json}: no JSON of an evaluation ({error}); --overwrite replaces it") from None
    if earlier != settings:
        changed = ", ".join(key for key in {**earlier, **settings} if earlier.get(key) != settings.get(key))
        raise ValueError(
            f"{options.json}: is of an evaluation with other settings ({changed}); --overwrite replaces it"
        )
    names = {case.name for case in cases}
    return {name: values for name, values in images.items() if name in names}


def _save(options, settings, images, failed):
    """Replaces the JSON. It has no infinity: a PSNR of null is that of identical pictures."""
    if options.json is None:
        return
    finite = {name: _without_infinity(images[name]) for name in sorted(images)}
    report = {"format": FORMAT, "settings": settings, "mean": _without_infinity(means(images))}
    report |= {"images": finite, "failed": failed}
    with replacing(options.json, error=ValueError) as temporary:
        temporary.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _without_infinity(values):
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def _plain_view(raw):
    """The raw photo as it is, for the eye: white-balanced, colour matrix, sRGB curve; every so many pixels."""
    step = max(1, max(raw.image.shape[:2]) // (2 * CELL))
    linear = to_linear_srgb(raw.image[::step, ::step], raw.illuminant, raw.ccm, saturation=raw.saturation)
    return apply_orientation(np.asarray(srgb_encode(linear)), raw.metadata.orientation)


def _sheet_row(view, picture, target):
    """A case's cells of the sheet: input (where there is one), picture, target, error."""
    images = {"picture": picture, "target": target, "difference x 4": 4 * np.abs(picture - target)}
    if view is not None:
        images = {"input": view(), "rendering": images.pop("picture"), **images}
    return [((title,), _thumbnail(image)) for title, image in images.items()]


def _thumbnail(image):
    from PIL import Image

    thumbnail = Image.fromarray(quantize(image))
    thumbnail.thumbnail((CELL, CELL), Image.Resampling.BOX)
    return np.asarray(thumbnail, np.float32) / 255.0


def _save_sheet(options, cases, images, rows, produce):
    """Writes the worst cases as one picture; those measured by an earlier run are made again."""
    by_name = {case.name: case for case in cases}
    names = worst(images, options.worst)
    for name in names:
        if name not in rows:
            rows[name] = _sheet_row(*produce(by_name[name]))
    captions = {name: ", ".join(f"{METRICS[k]} {v:.3f}" for k, v in images[name].items()) for name in names}
    write_image(options.sheet, draw_sheet([(f"{name}: {captions[name]}", rows[name]) for name in names]))
    _progress(f"{options.sheet}: the {len(names)} worst of {len(images)}")


def _progress(line):
    print(line, file=sys.stderr, flush=True)
