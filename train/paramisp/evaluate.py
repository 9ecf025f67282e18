"""How near ParamISP comes to a camera, measured as published: ``python -m train.paramisp.evaluate``.

On a folder of a real camera's pairs, or on ordinary photos that imaginary cameras take::

    python -m train.paramisp.evaluate --networks FILE --pairs FOLDER
    python -m train.paramisp.evaluate --networks FILE --photos FOLDER --cameras 0 1

Exit codes: 0 done, 2 bad input or pairs that had to be left out, 130 interrupted.
"""

import dataclasses
import functools
import itertools
import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
import tyro

from modisp_jax import compile_cache
from modisp_jax.io.images import replacing
from modisp_jax.losses import dissimilarity
from modisp_jax.nets.paramisp import EXPONENTS, PARAMETERS, SMALLEST
from modisp_jax.paramisp_file import load_paramisp
from train.cameras import cameras_of
from train.data import VALIDATION_SEED, PhotoFolder
from train.paramisp import cameras as imaginary
from train.paramisp.folder import PairFolder
from train.paramisp.pairs import Pair, draw_pair, middle_of, part_of, real_pair
from train.paramisp.task import inside, run, targets_of

CROP = 1024
"""Side of the crops that are measured, as published."""

WINDOW = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()
"""Of SSIM: a Gaussian of sigma 1.5, 11 taps."""

FIGURES = {"psnr": "PSNR dB", "ssim": "SSIM", "ssim_published": "SSIM publ."}
"""``ssim`` is that of the data range 1, ``ssim_published`` that of the batch's range, see :func:`measure`."""

TAKES = {"inverse": ("inverse_isp",), "forward": ("forward_isp",), "cycle": tuple(EXPONENTS)}
"""What is measured: sRGB to raw, raw to sRGB, sRGB to raw and back; and the networks that it takes."""

WRONG, DROPPED = "wrong", "dropped"


@dataclasses.dataclass(frozen=True)
class Case:
    """A photo to measure on: the pairs of its crops, all with the photo's exposure data."""

    name: str
    camera: str
    pairs: tuple[Pair, ...]


def five_crops(size, side=CROP):
    """Slices of the centre and the corners of a mosaic of ``size``, at even places; those that coincide come once.

    Sides are ``side``, or what there is of it, in multiples of 4.
    """
    h, w = (min(n, side) // 4 * 4 for n in size)
    bottom, right = ((n - m) // 2 * 2 for n, m in zip(size, (h, w), strict=True))
    middle = tuple((n - m) // 4 * 2 for n, m in zip(size, (h, w), strict=True))
    places = [middle, (0, 0), (0, right), (bottom, 0), (bottom, right)]
    return [(slice(y, y + h), slice(x, x + w)) for y, x in dict.fromkeys(places)]


def measure(outputs, targets):
    """Figures of a batch of crops, as published: a dict with the keys of ``FIGURES``.

    Both are clipped to [0, 1] and lose a rim of 2 pixels. PSNR is of the squared error's mean over all crops, infinite
    for identical ones. SSIM has a Gaussian window of 11 x 11 with sigma 1.5 and the constants .01 and .03, where the
    window fits. Its data range is 1, and for ``ssim_published`` the larger of both batches' ranges, which judges dark
    raw photos more strictly.

    Args:
      outputs, targets: [N, H, W] mosaics or [N, H, W, 3] pictures.

    Reference: facts 1.10.
    """
    x, y = (_clipped_inside(images) for images in (outputs, targets))
    spread = max(float(np.ptp(x)), float(np.ptp(y))) or 1.0
    return {"psnr": psnr(outputs, targets), "ssim": _ssim(x, y, 1.0), "ssim_published": _ssim(x, y, spread)}


def psnr(outputs, targets):
    """The PSNR of :func:`measure` alone, in dB."""
    x, y = (_clipped_inside(images) for images in (outputs, targets))
    error = np.mean(np.square(x.astype(np.float64) - y))
    return -10 * math.log10(error) if error else math.inf


def _clipped_inside(images):
    return np.stack([inside(np.clip(np.asarray(image), 0, 1)) for image in images])


def _ssim(x, y, data_range):
    """Mean SSIM of crops [N, H, W] or [N, H, W, 3]. Dividing both by the range is to scale the constants by it."""
    scale = np.float32(1 / data_range)
    parts = ((scale * image.reshape(*image.shape[:2], -1) for image in both) for both in zip(x, y, strict=True))
    return float(np.mean([1.0 - float(_dissimilarity(*both)) for both in parts]))


@jax.jit
def _dissimilarity(x, y):
    return dissimilarity(x, y, WINDOW).mean(axis=0).mean()


def cases_of_pairs(folder, side=CROP, limit=None):
    """The cases of a ``PairFolder``, one after the other."""
    for k in range(min(len(folder), limit or len(folder))):
        sample = folder[k]
        crops = five_crops(sample["mosaic"].shape, side)
        yield Case(sample["name"], sample["camera"], tuple(real_pair(part_of(sample, box)) for box in crops))


def cases_of_photos(photos, sensors, cameras, side=CROP, limit=None, takes=1):
    """Ordinary photos, each taken ``takes`` times by each imaginary camera, with seeds that training never draws."""
    take = jax.jit(draw_pair)
    shots = itertools.product(cameras, range(takes), range(min(len(photos), limit or len(photos))))
    for camera, again, k in shots:
        key = jax.random.fold_in(jax.random.key(VALIDATION_SEED), k + again * len(photos))
        key = jax.random.fold_in(key, camera)
        photo = photos[k]["srgb"]
        pair = take(key, middle_of(photo, max(photo.shape)), sensors, np.array([camera]))
        crops = five_crops(pair.mosaic.shape, side)
        yield Case(photos.names[k], f"imaginary {camera}", tuple(part_of(pair, box) for box in crops))


def judge(params, config, pairs, capture=None, figures=measure):
    """Figures of networks on a photo, ``{direction: figures}``, for what of ``TAKES`` the networks allow.

    Args:
      params, config: of :func:`modisp_jax.paramisp_file.load_paramisp`.
      pairs: of the photo's crops.
      capture: exposure data [4] to see it with; None: its own.
      figures: (outputs, targets) -> figures.
    """
    found = {name: [] for name in directions_of(params)}
    for pair in pairs:
        shown = pair if capture is None else pair._replace(capture=capture)
        made = _run(params, shown, config)
        if len(params) > 1:  # both alone, and one after the other
            made |= _run({"forward_isp": params["forward_isp"]}, shown, config)
        for name, outputs in found.items():
            outputs.append(np.asarray(made[name]))
    return {name: figures(outputs, [targets_of(pair)[name] for pair in pairs]) for name, outputs in found.items()}


_run = jax.jit(run, static_argnames="config")


def directions_of(params):
    """Which of ``TAKES`` networks allow."""
    return [name for name, networks in TAKES.items() if set(networks) <= set(params)]


def evaluate(params, config, cases, say=lambda line: None):
    """Figures of all cases, an iterable of :class:`Case`: a list of ``{"name", "camera", direction: figures, ...}``."""
    rows = []
    for case in cases:
        figures = judge(params, config, case.pairs)
        rows.append({"name": case.name, "camera": case.camera, **figures})
        words = ", ".join(f"{name} {values['psnr']:.2f} dB" for name, values in figures.items())
        say(f"{case.name}, {case.camera}: {words}")
    return rows


def parameter_losses(params, config, cases, say=lambda line: None):
    """By how many dB PSNR falls where exposure data are not those of the photo. Table S5 of the supplement.

    Each parameter alone, and all at once, are replaced by those of another photo (``wrong``: of the next one whose
    value differs, the first again after the last) or hidden (``dropped``, as training's dropout does).

    Args:
      params, config: of :func:`modisp_jax.paramisp_file.load_paramisp`.
      cases: a function () -> iterable of :class:`Case`; called twice.

    Returns:
      ``{direction: {parameter or "all": {"wrong": dB, "dropped": dB, "wrong_error": dB, "dropped_error": dB}}}``: means
      over the photos that have the parameter and, for ``wrong``, for which there is another value; and the standard
      errors of these means. None where there are none, or one photo alone. A photo that is taken more than once counts
      once, with its mean: what the same scene loses from take to take is no evidence about other scenes.
    """
    captures = [np.asarray(case.pairs[0].capture) for case in cases()]
    groups = {name: [k] for k, name in enumerate(PARAMETERS)} | {"all": list(range(len(PARAMETERS)))}
    losses = {name: {group: {WRONG: {}, DROPPED: {}} for group in groups} for name in directions_of(params)}
    for number, case in enumerate(cases()):
        right = judge(params, config, case.pairs, figures=psnr)
        for group, places in groups.items():
            for way, capture in _replaced(captures, number, places).items():
                for name, found in judge(params, config, case.pairs, capture, figures=psnr).items():
                    losses[name][group][way].setdefault(case.name, []).append(right[name] - found)
        say(f"{case.name}, {case.camera}: with other exposure data")
    return {name: {group: _means_and_errors(ways) for group, ways in table.items()} for name, table in losses.items()}


def _means_and_errors(ways):
    """Mean over photos of each ``{photo: losses}``, and its standard error, by ``way`` and ``way_error``."""
    photos = {way: [float(np.mean(losses)) for losses in found.values()] for way, found in ways.items()}
    means = {way: float(np.mean(values)) if values else None for way, values in photos.items()}
    error = lambda values: float(np.std(values, ddof=1)) / math.sqrt(len(values))  # noqa: E731
    return means | {f"{way}_error": error(values) if len(values) > 1 else None for way, values in photos.items()}


def _replaced(captures, number, places):
    """What photo ``number`` is to be seen with instead of its own values at ``places``: by way; some may be missing."""
    own, found = captures[number], {}
    for k in range(1, len(captures)):
        other = captures[(number + k) % len(captures)]
        known = np.isfinite(own[places])
        if (np.isfinite(other[places]) == known).all() and (other[places] != own[places])[known].any():
            found[WRONG] = own.copy()
            found[WRONG][places] = other[places]
            break
    if np.isfinite(own[places]).any():
        found[DROPPED] = own.copy()
        found[DROPPED][places] = np.nan
    return found


def summary(rows):
    """Means of the figures: by camera, and the mean of the cameras, ``{camera: {direction: figures}}``."""
    directions = [name for name in TAKES if name in rows[0]]

    def mean(parts):
        return {
            name: {figure: math.fsum(part[name][figure] for part in parts) / len(parts) for figure in FIGURES}
            for name in directions
        }

    cameras = list(dict.fromkeys(row["camera"] for row in rows))
    found = {camera: mean([row for row in rows if row["camera"] == camera]) for camera in cameras}
    return found | {"mean": mean(list(found.values()))}


def table(means, counts):
    """A :func:`summary` as text, a table a direction; ``counts`` of photos by camera."""
    width = max(map(len, means))
    lines = []
    for name in means["mean"]:
        lines.append(" ".join([name.ljust(width), "photos", *(title.rjust(10) for title in FIGURES.values())]))
        for camera, values in means.items():
            figures = " ".join(f"{values[name][figure]:10.4f}" for figure in FIGURES)
            lines.append(f"{camera.ljust(width)} {counts.get(camera, sum(counts.values())):6d} {figures}")
    return "\n".join(lines)


def losses_table(losses):
    """What :func:`parameter_losses` found, as text."""
    lines = []
    for name, groups in losses.items():
        lines.append(f"{name + ', dB lost':20} {WRONG:>8} {DROPPED:>8}")
        for group, ways in groups.items():
            cells = ("-" if ways[way] is None else f"{ways[way]:.3f}" for way in (WRONG, DROPPED))
            lines.append(f"{group:20} " + " ".join(cell.rjust(8) for cell in cells))
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures ParamISP's networks against a real camera's pairs, or against imaginary cameras."""

    networks: str = "paramisp"
    """Parameter file, or "paramisp", the networks that ship."""
    pairs: Path | None = None
    """Folder of raw photos, with their pictures beside them."""
    pictures: Path | None = None
    """Folder of the pictures, where they lie elsewhere."""
    pair_cache: Path | None = None
    """Folder for decoded pairs; None is that of the user."""
    photos: Path | None = None
    """Folder of ordinary photos, which imaginary cameras take again."""
    cameras: tuple[int, ...] = tuple(range(imaginary.COUNT))
    """Which of the imaginary cameras."""
    tables: Path | None = Path("../shared/data/tables")
    """Folder with color_matrices_d65.tsv and noise_profiles.tsv, for their sensors; None has made-up ones."""
    side: int = CROP
    """Side of the five crops in pixels."""
    limit: int | None = None
    """Measure only the first so many photos."""
    takes: int = 1
    """How often each imaginary camera takes each photo, every time with another sensor, light and exposure data."""
    parameters: bool = False
    """Also measure how much is lost with wrong or hidden exposure data; takes about ten times as long."""
    json: Path | None = None
    """Write all figures to this file."""


def check(options):
    """Whatever can be known to fail later fails here, before any work."""
    if (options.pairs is None) == (options.photos is None):
        raise ValueError("expected either --pairs FOLDER or --photos FOLDER")
    for folder, names in (("pairs", ("pictures", "pair_cache")), ("photos", ("cameras", "tables", "takes"))):
        given = [name for name in names if getattr(options, name) != getattr(Options(), name)]
        if given and getattr(options, folder) is None:  # else it would be ignored
            raise ValueError(f"--{given[0].replace('_', '-')}: expected with --{folder}")
    if not options.cameras or not set(options.cameras) <= set(range(imaginary.COUNT)):
        raise ValueError(f"--cameras: expected some of 0 to {imaginary.COUNT - 1}, got {options.cameras}")
    if options.side < SMALLEST or (options.limit is not None and options.limit < 1) or options.takes < 1:
        expected = f"--side of at least {SMALLEST}, --limit and --takes of at least 1"
        raise ValueError(f"expected {expected}, got {options.side}, {options.limit} and {options.takes}")
    if options.json is not None and not options.json.parent.is_dir():
        raise ValueError(f"--json {options.json}: the folder {options.json.parent} does not exist")


def measure_files(options):
    """What the program does; returns the exit code."""
    check(options)
    compile_cache.enable()
    params, config = load_paramisp(options.networks, networks=())
    refused = {}
    if options.pairs is not None:
        folder = PairFolder(options.pairs, options.pictures, cache=options.pair_cache)
        refused = folder.refused
        cases = functools.partial(cases_of_pairs, folder, options.side, options.limit)
    else:
        known = PhotoFolder(options.photos), cameras_of(options.tables), options.cameras
        cases = functools.partial(cases_of_photos, *known, options.side, options.limit, options.takes)
    rows = evaluate(params, config, cases(), _say)
    means = summary(rows)
    counts = {camera: sum(row["camera"] == camera for row in rows) for camera in means if camera != "mean"}
    print(table(means, counts))
    report = {"settings": dataclasses.asdict(options), "mean": means, "photos": rows, "refused": refused}
    if options.parameters:
        report["parameter_losses"] = parameter_losses(params, config, cases, _say)
        print(losses_table(report["parameter_losses"]))
    if options.json is not None:
        with replacing(options.json, error=ValueError) as temporary:
            temporary.write_text(json.dumps(_json_safe(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 2 if refused else 0


def _json_safe(value):
    """For JSON: paths as text, numbers that are not finite as None; infinite is the PSNR of identical pictures."""
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _say(line):
    print(line, file=sys.stderr, flush=True)


def main(arguments=None):
    """Entry point; returns the exit code."""
    try:
        return measure_files(tyro.cli(Options, prog="python -m train.paramisp.evaluate", args=arguments))
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
