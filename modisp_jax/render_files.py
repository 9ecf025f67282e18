"""Renders files to files: what ``modisp render`` does."""

import dataclasses
import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

from modisp_jax.checkpoints import load_params
from modisp_jax.config import HaloFixConfig, RenderConfig
from modisp_jax.describe import explain
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


FAILURES = (ValueError, OSError, MemoryError, jax.errors.JaxRuntimeError)
"""What one photo may fail of while the others go on; JAX's is that the device runs out of memory."""


def render_photos(photos, options):
    """Renders each photo; a photo that fails is reported and the rest goes on. Returns the exit code."""
    params = load_style(options.params, options.style)
    config = RenderConfig(highlights=options.highlights, halo_fix=HaloFixConfig() if options.halo_fix else None)
    edits = Edits(**{name: np.float32(value) for name, value in options.edits.items()})
    scene = None if photos else _scene_path(options.output)
    photos = photos or [scene]
    targets = [_target(photo, options, many=len(photos) > 1) for photo in photos]
    _refuse_collisions(photos, targets, options)
    if options.save_stages is not None:
        options.save_stages.mkdir(parents=True, exist_ok=True)
    if scene is not None:
        _refuse_existing(targets[0], options)
        _synthesise(scene, options.overwrite)

    failures = 0
    for number, (photo, target) in enumerate(zip(photos, targets, strict=True), 1):
        try:
            _render_one(photo, target, params, edits, config, options, label=f"[{number}/{len(photos)}] ")
        except FAILURES as error:
            failures += 1
            print(f"modisp: error: {explain(error, photo)}", file=sys.stderr, flush=True)
    if failures and len(photos) > 1:
        _progress(f"{failures} of {len(photos)} photos failed")
    return 2 if failures else 0


def load_style(params, style):
    """Loads a parameter set; the photofinishing and enhancement of ``style``, where given, replace its own."""
    loaded = load_params(params)
    option, source = "--params", params
    if style is not None:
        option, source = "--style", style
        overlay = load_params(style)
        kept = {name: loaded[name] for name in ("denoise",) if name in loaded}
        loaded = {**kept, **{name: overlay[name] for name in ("photofinish", "enhance") if name in overlay}}
    if "photofinish" not in loaded:
        raise ValueError(f"{option} {source}: expected a set with photofinishing, got one without")
    return loaded


def _render_one(photo, target, params, edits, config, options, label):
    """Renders one photo and writes it. Says nothing before the photo is read: a bad file costs one line, its error."""
    start = time.perf_counter()
    _refuse_existing(target, options)
    raw = read_raw(photo, demosaic=options.demosaic)
    height, width = raw.image.shape[:2]
    _progress(f"{label}{photo}, {width} x {height} pixels (the first photo of a size is compiled, which takes a while)")
    if options.save_stages is None:
        picture = render(params, raw, edits=edits, config=config)
    else:
        stages = render_stages(params, raw, edits=edits, config=config)
        picture = stages.srgb
        orientation = raw.metadata.orientation if options.orientation == "apply" else 1
        write_stages(options.save_stages / photo.stem, stages, orientation)
    write_image(
        target,
        np.asarray(jax.device_get(picture)),
        quality=options.quality,
        bits=options.bits,
        exif=exif_from_raw(photo, raw.metadata),
        orientation=options.orientation,
    )
    _progress(f"{label}{target}, {time.perf_counter() - start:.1f} s")


def _scene_path(output):
    """Where the built-in scene's DNG goes: beside the picture."""
    if output is None:
        return Path(f"{SCENE}.dng")
    folder = output if _is_folder(output) else output.parent
    return folder / f"{SCENE}.dng"


def _synthesise(path, overwrite):
    """Writes the built-in scene as a DNG, where there is none yet."""
    if path.exists() and not overwrite:
        _progress(f"no photo given: rendering {path}")
        return
    _progress(f"no photo given: synthesising a raw scene as {path}")
    write_synthetic_dng(path)


def _is_folder(output):
    """Whether ``--output`` is meant as a folder: it is one, or has no extension."""
    return output.is_dir() or not output.suffix


def _target(photo, options, many):
    """The picture's path for a photo. Whatever can be known to fail later fails here, before any work."""
    output = options.output
    if output is None:
        target = photo.with_suffix(options.suffix)
    elif many or _is_folder(output):
        output.mkdir(parents=True, exist_ok=True)
        target = output / (photo.stem + options.suffix)
    else:
        target = output
    if target.suffix.lower() not in FORMATS:
        raise ValueError(f"--output {output}: expected one of {', '.join(FORMATS)}")
    if options.bits == 16 and FORMATS[target.suffix.lower()] == "jpeg":
        raise ValueError(f"--bits 16: expected a PNG or TIFF, got {target}; a JPEG has 8 bits")
    if output is not None and not target.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {target.parent} does not exist")
    return target


def _refuse_existing(target, options):
    """Raises where a picture stands under the name that was derived from the photo's, or could not be written."""
    if target.exists() and not options.overwrite and target != options.output:
        raise ValueError(f"{target} exists; --overwrite replaces it")
    if target.is_dir():
        raise ValueError(f"{target} is a folder; choose another --output")
    if target.parent.is_dir() and not os.access(target.parent, os.W_OK):
        raise ValueError(f"{target}: expected a folder that can be written to; choose another --output")


def _refuse_collisions(photos, targets, options):
    """Raises before any work where a picture would replace a photo or another picture."""
    sources = {photo.resolve() for photo in photos}
    seen = {}
    for photo, target in zip(photos, targets, strict=True):
        place = target.resolve()
        if place in sources:
            raise ValueError(f"{target} is itself one of the photos to render; choose another --output or --format")
        places = [place] if options.save_stages is None else [place, (options.save_stages / photo.stem).resolve()]
        for place in places:
            if place in seen:
                raise ValueError(f"{photo} and {seen[place]} would both become {place}; render them one at a time")
            seen[place] = photo


def _progress(line):
    print(line, file=sys.stderr, flush=True)
