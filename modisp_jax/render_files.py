"""Renders files to files: what ``modisp render`` does."""

import dataclasses
import sys
import time
from pathlib import Path

import jax
import numpy as np

from modisp_jax.checkpoints import load_params
from modisp_jax.config import HaloFixConfig, RenderConfig
from modisp_jax.io.exif import exif_from_raw
from modisp_jax.io.images import FORMATS, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.pipeline import render, render_stages
from modisp_jax.raw import read_raw
from modisp_jax.save_stages import write_stages
from modisp_jax.types import Edits

SCENE = "modisp_scene"


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """The options of ``modisp render``, see :func:`modisp_jax.cli.render`."""

    output: Path | None
    suffix: str
    params: str
    style: str | None
    edits: dict
    highlights: str
    halo_fix: bool
    demosaic: str
    quality: int
    bits: int | None
    orientation: str
    save_stages: Path | None
    overwrite: bool


def render_photos(photos, options):
    """Renders each photo; a photo that fails is reported and the rest goes on. Returns the exit code."""
    params = load_style(options.params, options.style)
    config = RenderConfig(highlights=options.highlights, halo_fix=HaloFixConfig() if options.halo_fix else None)
    edits = Edits(**{name: np.float32(value) for name, value in options.edits.items()})
    if not photos:
        photos = [_synthesise(options)]
    targets = [_target(photo, options, many=len(photos) > 1) for photo in photos]
    _refuse_collisions(photos, targets)

    failures = 0
    for number, (photo, target) in enumerate(zip(photos, targets, strict=True), 1):
        try:
            _render_one(photo, target, params, edits, config, options, label=f"[{number}/{len(photos)}] ")
        except (ValueError, OSError) as error:
            failures += 1
            _report(photo, error)
    if failures and len(photos) > 1:
        _report(f"{failures} of {len(photos)} photos failed", None)
    return 2 if failures else 0


def load_style(params, style):
    """Loads a parameter set; the photofinishing and enhancement of ``style``, where given, replace its own."""
    loaded = load_params(params)
    if style is None:
        return loaded
    overlay = load_params(style)
    if "photofinish" not in overlay:
        raise ValueError(f"--style {style}: expected photofinishing parameters, got only {sorted(overlay)}")
    kept = {name: loaded[name] for name in ("denoise",) if name in loaded}
    return {**kept, **{name: overlay[name] for name in ("photofinish", "enhance") if name in overlay}}


def _render_one(photo, target, params, edits, config, options, label):
    """Renders one photo and writes it. Says nothing before the photo is read: a bad file costs one line, its error."""
    start = time.perf_counter()
    if target.exists() and not options.overwrite and target != options.output:
        raise ValueError(f"{target} exists; --overwrite replaces it")
    raw = read_raw(photo, demosaic=options.demosaic)
    height, width = raw.image.shape[:2]
    _progress(f"{label}{photo}, {width} x {height} pixels (the first photo of a size is compiled, which takes a while)")
    if options.save_stages is None:
        picture = render(params, raw, edits=edits, config=config)
    else:
        stages = render_stages(params, raw, edits=edits, config=config)
        picture = stages.srgb
        write_stages(options.save_stages / photo.stem, stages, raw.metadata.orientation)
    write_image(
        target,
        np.asarray(jax.device_get(picture)),
        quality=options.quality,
        bits=options.bits,
        exif=exif_from_raw(photo, raw.metadata),
        orientation=options.orientation,
    )
    _progress(f"{label}{target}, {time.perf_counter() - start:.1f} s")


def _synthesise(options):
    """Writes the built-in scene as a DNG where the picture will go; returns its path."""
    folder = Path.cwd() if options.output is None else options.output
    if folder.suffix and not folder.is_dir():
        folder = folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{SCENE}.dng"
    _progress(f"no photo given: synthesising a raw scene as {path}")
    write_synthetic_dng(path)
    return path


def _target(photo, options, many):
    """The picture's path for a photo."""
    output = options.output
    if output is None:
        return photo.with_suffix(options.suffix)
    if many or output.is_dir() or not output.suffix:
        output.mkdir(parents=True, exist_ok=True)
        return output / (photo.stem + options.suffix)
    if output.suffix.lower() not in FORMATS:
        raise ValueError(f"--output {output}: expected one of {', '.join(FORMATS)}")
    if not output.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {output.parent} does not exist")
    return output


def _refuse_collisions(photos, targets):
    """Raises before any work where a picture would replace a photo or another picture."""
    sources = {photo.resolve(): photo for photo in photos}
    seen = {}
    for photo, target in zip(photos, targets, strict=True):
        place = target.resolve()
        if place in sources:
            raise ValueError(f"{target} is one of the photos to render; choose another --output or --format")
        if place in seen:
            raise ValueError(f"{photo} and {seen[place]} would both become {target}; render them into separate folders")
        seen[place] = photo


def _progress(line):
    print(line, file=sys.stderr, flush=True)


def _report(subject, error):
    """One line on standard error about what failed and why."""
    text = str(subject)
    if error is not None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        text = reason if text in reason else f"{text}: {reason}"
    print("modisp: error: " + " ".join(text.split()), file=sys.stderr, flush=True)
