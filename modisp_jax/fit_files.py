"""Fits a style to a folder of raw photos and finished pictures: what ``modisp fit`` does."""

import dataclasses
import hashlib
import sys
import time
from pathlib import Path

import numpy as np

from modisp_jax import compile_cache
from modisp_jax.checkpoints import load_params, read_card, save_params
from modisp_jax.describe import explain
from modisp_jax.fit import fit_style, fit_style_config
from modisp_jax.fit.pairs import aligned_pair
from modisp_jax.interrupt import Interrupt
from modisp_jax.io.alignment import check_same_scene, crop_box, read_turned
from modisp_jax.io.images import FORMATS, read_image
from modisp_jax.io.resize import resize_area
from modisp_jax.raw import read_raw
from modisp_jax.render_files import FAILURES

RAW_IMAGES, TARGETS = "raw_images", "srgb_images"
NOT_RAW = {*FORMATS, ".json", ".xmp", ".pp3", ".dop", ".txt", ".md", ".csv", ".zip", ".db", ".html", ".safetensors"}
"""Extensions that a folder of raw photos may hold besides; everything else is taken for a raw photo."""


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """The options of ``modisp fit``, see :func:`modisp_jax.cli.fit`."""

    folder: Path
    output: Path
    targets: Path | None
    style: str
    stages: tuple[str, ...]
    rgb_lut: bool
    steps: int
    size: int
    validation: float
    seed: int
    state: Path | None
    unpaired: Path | None = None


def fit_folder(options):
    """Fits a style and writes it; a pair that fails is reported and the rest goes on. Returns the exit code."""
    compile_cache.enable()
    params = load_params("neutral", style=options.style)
    size = max(16, round(0.75 * options.size)), options.size
    if options.output.suffix.lower() != ".safetensors" or not options.output.parent.is_dir():
        raise ValueError(f"--output: expected NAME.safetensors in an existing folder, got {options.output}")
    found = find_pairs(options.folder, options.targets)
    photos, unread = ([], 0) if options.unpaired is None else read_photos(options.unpaired, options.size)
    pairs, failed = [], unread
    for number, (raw, picture) in enumerate(found, 1):
        try:
            pairs.append(read_pair(raw, picture))
            _progress(f"[{number}/{len(found)}] {raw.name} and {picture.name}")
        except FAILURES as error:
            failed += 1
            print(f"modisp: error: {explain(error, raw)}", file=sys.stderr, flush=True)
    if not pairs:
        raise ValueError(f"{options.folder}: expected at least one pair that can be used, got none of {len(found)}")
    state = options.output.with_suffix(".fit") if options.state is None else options.state
    begin = time.perf_counter()
    with Interrupt() as interrupt:
        fitted = fit_style(
            params,
            pairs,
            unpaired=photos or None,
            stages=options.stages,
            rgb_lut=options.rgb_lut,
            steps=options.steps,
            validation=options.validation,
            seed=options.seed,
            folder=state,
            config=fit_style_config(len(pairs), options.validation, size=size),
            progress=lambda record: _told(record) or interrupt.asked,
        )
    if not fitted.done:
        _progress(f"interrupted; the same command goes on from {state}")
        return 130
    card = _card(
        options, len(pairs), len(photos), fitted, read_card(options.style) if Path(options.style).is_file() else {}
    )
    save_params(options.output, fitted.params, card)
    if options.state is None:
        (state / "state.npz").unlink(missing_ok=True)
        state.rmdir()
    _progress(f"{options.output}, {fitted.score:.2f} dB, {time.perf_counter() - begin:.0f} s")
    if failed:
        asked = f"{len(found)} pairs" + (f" and {len(photos) + unread} photos" if options.unpaired else "")
        _progress(f"{failed} of {asked} failed")
    return 2 if failed else 0


def find_pairs(folder, targets=None):
    """The pairs of a folder, by name: a list of (raw photo, finished picture).

    Raw photos and pictures lie side by side (a.dng, a.jpg), or the pictures in ``targets``, or both as in the S24
    layout (raw_images/, data/, srgb_images*). A raw photo without a picture, or a picture without one, is left out.

    Raises:
      ValueError: no such folder, no pair in it, or two files that could each be meant.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of raw photos and finished pictures, found none of that name")
    if (folder / RAW_IMAGES).is_dir():
        raws = _by_name(folder / RAW_IMAGES, lambda suffix: suffix == ".png")
        targets = targets or _split_targets(folder)
    else:
        raws = _by_name(folder, lambda suffix: suffix not in NOT_RAW)
    pictures = _by_name(targets or folder, lambda suffix: suffix in FORMATS)
    names = [name for name in raws if name in pictures]
    if not names:
        raise ValueError(
            f"{folder}: expected raw photos and finished pictures of the same names,"
            f" got {len(raws)} raw photos and {len(pictures)} pictures, none of one name"
        )
    return [(raws[name], pictures[name]) for name in names]


def _by_name(folder, wanted):
    """Files of a folder with a suffix that is wanted, by their name without it, in order."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of pictures, found none of that name")
    found = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if not path.is_file() or path.name.startswith(".") or not suffix or not wanted(suffix):
            continue
        if path.stem in found:
            raise ValueError(f"{path}: expected one file of each name, got {found[path.stem].name} too")
        found[path.stem] = path
    return found


def _split_targets(folder):
    """The only folder srgb_images* of a split."""
    found = sorted(path for path in folder.glob(f"{TARGETS}*") if path.is_dir())
    if len(found) != 1:
        got = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"{folder}: expected one folder {TARGETS}*, or --targets to choose one; got {got}")
    return found[0]


def read_pair(raw_path, picture_path):
    """Reads a pair, turns the picture as the raw photo lies, and brings both to one small size: (linear, target).

    Raises:
      ValueError: a file that cannot be read, a picture cropped or warped, or one that does not look like its raw.
    """
    raw = read_raw(raw_path)
    picture, _ = read_turned(picture_path, raw.metadata.orientation)
    size = raw.image.shape[:2]
    box = crop_box(size, picture.shape[:2], raw.metadata.default_crop, any_size=True)
    if box is None:  # pictures of the S24 layout may lie as their raw photo does, whose orientation is told apart
        picture = read_image(picture_path)
        box = crop_box(size, picture.shape[:2], raw.metadata.default_crop, any_size=True)
    if box is None:
        ours, theirs = (f"{w} x {h}" for h, w in (size, picture.shape[:2]))
        raise ValueError(f"{picture_path}: expected the aspect ratio of its raw photo ({ours}), got {theirs}")
    raw = dataclasses.replace(raw, image=raw.image[box])
    check_same_scene(picture_path, np.asarray(raw.image), picture)
    return aligned_pair(raw, picture)


def read_photos(folder, size):
    """The pictures of a folder, shrunk to a long side of ``size`` pixels: (list of [h, w, 3], how many failed).

    A picture that cannot be read costs a line; a folder without any is an error.
    """
    paths = list(_by_name(folder, lambda suffix: suffix in FORMATS).values())
    photos = []
    for number, path in enumerate(paths, 1):
        try:
            photo = read_image(path)
            scale = min(1.0, size / max(photo.shape[:2]))
            small = resize_area(photo, tuple(max(1, round(n * scale)) for n in photo.shape[:2]))
            photos.append(np.asarray(small, np.float32))
        except FAILURES as error:
            print(f"modisp: error: {explain(error, path)}", file=sys.stderr, flush=True)
        if number % 20 == 0 or number == len(paths):
            _progress(f"{number}/{len(paths)} unpaired photos")
    if not photos:
        raise ValueError(f"{folder}: expected pictures to learn from beside the pairs, found none that can be read")
    return photos, len(paths) - len(photos)


def _card(options, count, photos, fitted, start):
    """What the file says of itself."""
    path = Path(options.style)
    digest = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else {}
    others = f" and {photos} ordinary photos" if photos else ""
    card = {
        "name": options.output.stem,
        "what": f"photofinishing fitted to {count} finished pictures{others},"
        f" from the style {start.get('name', path.stem)}",
        "start": {"style": str(options.style)} | digest,
        "stages": list(options.stages),
        "seed": options.seed,
        "score": round(fitted.score, 3),
        "history": fitted.history,
    }
    # Weights under a licence of their own stay under it, however they were changed.
    return card | {key: start[key] for key in ("license", "licence", "origin", "sources") if key in start}


def _told(record):
    """A line for a validation and every tenth step; asks for nothing."""
    if "score" in record:
        loss = "" if record["loss"] is None else f"loss {record['loss']:.4f}, "
        kept = ", the best so far" if record["best"] else ""
        _progress(f"step {record['step']}: {loss}{record['score']:.2f} dB, worst {record['worst']:.2f}{kept}")
    elif "functions" in record:
        if record["functions"] % 100 == 0:
            _progress(f"function ISP, step {record['functions']}/{record['steps']}: loss {record['loss']:.5f}")
    elif record["step"] % 10 == 0:
        _progress(f"step {record['step']}/{record['steps']}: loss {record['loss']:.4f}")
    return False


def _progress(line):
    print(line, file=sys.stderr, flush=True)
