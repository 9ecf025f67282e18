"""Renders files to files: what ``modisp render`` does.

While a photo is computed, the next one is decoded and the one before encoded and written, each by a thread; there is
never more than one of each in memory.
"""

import concurrent.futures
import ctypes
import dataclasses
import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

from modisp_jax import compile_cache
from modisp_jax.checkpoints import list_styles, load_params
from modisp_jax.config import HaloFixConfig, RenderConfig
from modisp_jax.describe import explain
from modisp_jax.io.exif import exif_from_raw
from modisp_jax.io.images import FORMATS, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.ops.geometry import crop_box
from modisp_jax.pipeline import render, render_stages
from modisp_jax.raw import read_raw
from modisp_jax.render_settings import (
    LEARNED,
    as_edits,
    awb_networks,
    edits_of,
    look_smoother,
    photos_of,
    record,
    set_light,
)
from modisp_jax.save_stages import write_stages

SCENE = "modisp_scene"

EVERY_STYLE = "all"
"""What ``--style`` takes for a picture in each style."""


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """The options of ``modisp render``, see :func:`modisp_jax.cli.render`."""

    output: Path | None
    suffix: str
    params: str
    style: str | None
    edits: dict
    white_balance: str
    awb: Path | None
    cct: float | None
    tint: float | None
    clipped_highlights: str
    halo_fix: bool
    halo_iterations: int
    operators: str
    smooth_looks: str | None
    smooth_frames: int
    activations: str
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
    compile_cache.enable()
    give_memory_back()
    sets = _parameter_sets(options)
    options = dataclasses.replace(options, edits=edits_of(options.style, options.edits))
    if options.white_balance in LEARNED:
        awb_networks(options.awb, options.white_balance)  # which raises before any work
    if "crop" in options.edits:
        crop_box((2**16, 2**16), options.edits["crop"])  # which raises before any work
    config = RenderConfig(
        clipped_highlights=options.clipped_highlights,
        halo_fix=HaloFixConfig(iterations=options.halo_iterations) if options.halo_fix else None,
        operators=options.operators,
        activations=options.activations,
    )
    photos = photos_of(photos)
    scene = None if photos else _scene_path(options.output)
    photos = photos or [scene]
    many = len(photos) * len(sets) > 1
    targets = [{ending: _target(photo, options, many, ending) for ending in sets} for photo in photos]
    _refuse_collisions(photos, targets, options)
    if options.save_stages is not None:
        options.save_stages.mkdir(parents=True, exist_ok=True)
    if scene is not None:
        _refuse_existing(targets[0], options)
        _synthesise(scene, options.overwrite)

    failed = set()

    def report(number, error):
        failed.add(number)
        print(f"modisp: error: {explain(error, photos[number])}", file=sys.stderr, flush=True)

    _render_all(photos, targets, sets, config, options, report)
    if failed and len(photos) > 1:
        _progress(f"{len(failed)} of {len(photos)} photos failed")
    return 2 if failed else 0


def give_memory_back():
    """Has glibc's malloc return large arrays at once and keep few pools; elsewhere it does nothing.

    By itself it keeps what was freed for reuse, in a pool for each thread, which adds to the peak.
    """
    mmap_threshold, trim_threshold, arena_max = -3, -1, -8  # as in malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((mmap_threshold, 2**20), (trim_threshold, 2**20), (arena_max, 2)):
        mallopt(parameter, value)


def _render_all(photos, targets, sets, config, options, report):
    """Renders every photo; ``report(number, error)`` is called for each one that fails."""
    written = []  # (number of the photo, future of a picture), one at most
    smooth = {ending: look_smoother(options.smooth_looks, options.smooth_frames) for ending in sets}

    def wait_for_writer():
        while written:
            number, future = written.pop()
            try:
                future.result()
            except FAILURES as error:
                report(number, error)

    with concurrent.futures.ThreadPoolExecutor(1) as reader, concurrent.futures.ThreadPoolExecutor(1) as writer:
        try:
            for number, reading in enumerate(_read_ahead(reader, photos, targets, options)):
                photo, label = photos[number], f"[{number + 1}/{len(photos)}] "
                try:
                    raw, light, note = reading.result()
                    raws = [raw]
                    del reading, raw  # they would keep the photo in memory
                    _announce(raws[0], photo, label, note)
                    metadata, start = raws[0].metadata, time.perf_counter()
                    last = list(targets[number])[-1]
                    for ending, target in targets[number].items():
                        name = photo.stem + ending
                        picture = _compute(sets[ending], raws, ending == last, smooth[ending], config, options, name)
                        wait_for_writer()
                        settings = record(options, photo, light)
                        work = (picture, target, photo, metadata, settings, options, label, start)
                        written.append((number, writer.submit(_write, *work)))
                        del picture, work
                        start = time.perf_counter()
                except FAILURES as error:
                    wait_for_writer()
                    report(number, error)
            wait_for_writer()
        finally:
            reader.shutdown(cancel_futures=True)


def _read_ahead(reader, photos, targets, options):
    """Yields futures of the photos in order, while the next one is being decoded."""
    ahead = []
    for photo, pictures in zip(photos, targets, strict=True):
        ahead.append(reader.submit(_read, photo, pictures, options))
        if len(ahead) == 2:
            yield ahead.pop(0)
    yield from ahead


def load_style(params, style):
    """Loads a parameter set; the photofinishing and enhancement of ``style``, where given, replace its own."""
    loaded = load_params(params, style=style)
    if "photofinish" not in loaded:
        raise ValueError(f"--params {params}: expected a set with photofinishing, got one without")
    return loaded


def _parameter_sets(options):
    """What to render with: parameter sets by what they add to the names of their pictures."""
    if options.style != EVERY_STYLE:
        return {"": load_style(options.params, options.style)}
    styles = list_styles()
    if not styles:
        raise ValueError(f"--style {EVERY_STYLE}: this installation has no styles; --style takes a file as well")
    return {f"_{name}": load_style(options.params, name) for name in styles}


def _read(photo, targets, options):
    """Decodes a photo, unless its pictures cannot be written anyway."""
    _refuse_existing(targets, options)
    return set_light(read_raw(photo, demosaic=options.demosaic), options)


def _announce(raw, photo, label, note):
    """Says what is being rendered, once it is read: a bad file costs one line, its error."""
    height, width = raw.image.shape[:2]
    _progress(f"{label}{photo}, {width} x {height} pixels (the first photo of a size is compiled, which takes a while)")
    if note:
        _progress(f"{label}white balance: {note}")


def _compute(params, raws, last, look, config, options, name):
    """The finished picture, and its intermediate images on disk where they are asked for.

    ``raws`` is a list of one photo; the ``last`` rendering takes it out, so that its memory is free on the way.
    """
    edits = as_edits(options.edits, raws[0].metadata.orientation)
    orientation = raws[0].metadata.orientation if options.orientation == "apply" else 1
    take = raws.pop if last else lambda: raws[0]
    if options.save_stages is None:
        return jax.block_until_ready(render(params, take(), edits=edits, config=config, look=look))
    stages = render_stages(params, take(), edits=edits, config=config, look=look)
    write_stages(options.save_stages / name, stages, orientation)
    return stages.srgb


def _write(picture, target, photo, metadata, settings, options, label, start):
    write_image(
        target,
        np.asarray(jax.device_get(picture)),
        quality=options.quality,
        bits=options.bits,
        exif=exif_from_raw(photo, metadata, settings=settings),
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


def _target(photo, options, many, ending):
    """The picture's path for a photo, its name with ``ending``. What can be known to fail later fails here."""
    output = options.output
    if output is None:
        target = photo.with_suffix(options.suffix)
        target = target.with_stem(target.stem + ending)
    elif many or _is_folder(output):
        output.mkdir(parents=True, exist_ok=True)
        target = output / (photo.stem + ending + options.suffix)
    else:
        target = output
    if target.suffix.lower() not in FORMATS:
        raise ValueError(f"--output {output}: expected one of {', '.join(FORMATS)}")
    if options.bits == 16 and FORMATS[target.suffix.lower()] == "jpeg":
        raise ValueError(f"--bits 16: expected a PNG or TIFF, got {target}; a JPEG has 8 bits")
    if output is not None and not target.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {target.parent} does not exist")
    return target


def _refuse_existing(targets, options):
    """Raises where a picture stands under a name that was derived from the photo's, or could not be written."""
    for target in targets.values():
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
    for photo, pictures in zip(photos, targets, strict=True):
        for ending, target in pictures.items():
            places = [target.resolve()]
            if places[0] in sources:
                raise ValueError(f"{target} is itself one of the photos to render; choose another --output or --format")
            if options.save_stages is not None:
                places.append((options.save_stages / (photo.stem + ending)).resolve())
            for place in places:
                if place in seen:
                    raise ValueError(f"{photo} and {seen[place]} would both become {place}; render them one at a time")
                seen[place] = photo


def _progress(line):
    print(line, file=sys.stderr, flush=True)
