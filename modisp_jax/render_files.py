"""Renders files to files: what ``modisp render`` does, and ``modisp batch`` in each of its processes.

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


@dataclasses.dataclass(frozen=True)
class Job:
    """A photo and the pictures it becomes."""

    photo: Path
    targets: dict
    """Paths of its pictures by what their parameter set adds to the name."""
    name: str
    """What its pictures are called without extension, for the folders of stages."""
    replace: bool
    """Whether pictures that are there already are replaced."""
    label: str = ""
    """Begins the lines that are printed about it."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What photos are rendered with, the same for all."""

    sets: dict
    """Parameter sets by what they add to the names of their pictures."""
    config: RenderConfig
    options: RenderOptions


def open_session(options):
    """Loads what ``options`` (:class:`RenderOptions`) ask for; whatever is wrong with them raises here.

    The options of the :class:`Session` have the edits of the style's file too.
    """
    compile_cache.enable()
    give_memory_back()
    sets = _parameter_sets(options)
    options = dataclasses.replace(options, edits=edits_of(options.style, options.edits))
    if options.white_balance in LEARNED:
        awb_networks(options.awb, options.white_balance)
    if "crop" in options.edits:
        crop_box((2**16, 2**16), options.edits["crop"])
    config = RenderConfig(
        clipped_highlights=options.clipped_highlights,
        halo_fix=HaloFixConfig(iterations=options.halo_iterations) if options.halo_fix else None,
        operators=options.operators,
        activations=options.activations,
    )
    return Session(sets, config, options)


def render_photos(photos, options):
    """Renders each photo; a photo that fails is reported and the rest goes on. Returns the exit code."""
    session = open_session(options)
    photos = photos_of(photos)
    scene = None if photos else _scene_path(options.output)
    photos = photos or [scene]
    many = len(photos) * len(session.sets) > 1
    jobs = [_job(photo, session, many, f"[{k}/{len(photos)}] ") for k, photo in enumerate(photos, 1)]
    refuse_collisions(jobs, options)
    if options.save_stages is not None:
        options.save_stages.mkdir(parents=True, exist_ok=True)
    if scene is not None:
        refuse_existing(jobs[0])
        _synthesise(scene, options.overwrite)

    failed = set()

    def report(job, error):
        failed.add(job.label)
        print(f"modisp: error: {explain(error, job.photo)}", file=sys.stderr, flush=True)

    render_jobs(jobs, session, report)
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


def render_jobs(jobs, session, report, say=None):
    """Renders every job, from its photo's file to its pictures' files.

    Args:
      jobs: list of :class:`Job`.
      session: of :func:`open_session`.
      report: called with (job, error) for each one that fails, while the others go on.
      say: called with each line that tells how far it is; by default they go to standard error.
    """
    say = _progress if say is None else say
    options = session.options
    written = []  # (job, future of a picture), one at most
    smooth = {ending: look_smoother(options.smooth_looks, options.smooth_frames) for ending in session.sets}

    def wait_for_writer():
        while written:
            job, future = written.pop()
            try:
                future.result()
            except FAILURES as error:
                report(job, error)

    with concurrent.futures.ThreadPoolExecutor(1) as reader, concurrent.futures.ThreadPoolExecutor(1) as writer:
        try:
            for job, reading in _read_ahead(reader, jobs, options):
                try:
                    raw, light, note = reading.result()
                    raws = [raw]
                    del reading, raw  # they would keep the photo in memory
                    _announce(raws[0], job, note, say)
                    metadata, start = raws[0].metadata, time.perf_counter()
                    last = list(job.targets)[-1]
                    for ending in job.targets:
                        picture = _compute(session, ending, raws, ending == last, smooth[ending], job.name)
                        wait_for_writer()
                        settings = record(options, job.photo, light)
                        work = (picture, job, ending, metadata, settings, options, start, say)
                        written.append((job, writer.submit(_write, *work)))
                        del picture, work
                        start = time.perf_counter()
                except FAILURES as error:
                    wait_for_writer()
                    report(job, error)
            wait_for_writer()
        finally:
            reader.shutdown(cancel_futures=True)


def _read_ahead(reader, jobs, options):
    """Yields jobs with futures of their photos in order, while the next one is being decoded."""
    ahead = []
    for job in jobs:
        ahead.append((job, reader.submit(_read, job, options)))
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


def _read(job, options):
    """Decodes a photo, unless its pictures cannot be written anyway."""
    refuse_existing(job)
    return set_light(read_raw(job.photo, demosaic=options.demosaic), options)


def _announce(raw, job, note, say):
    """Says what is being rendered, once it is read: a bad file costs one line, its error."""
    size = f"{raw.image.shape[1]} x {raw.image.shape[0]} pixels"
    say(f"{job.label}{job.photo}, {size} (the first photo of a size is compiled, which takes a while)")
    if note:
        say(f"{job.label}white balance: {note}")


def _compute(session, ending, raws, last, look, name):
    """The finished picture, and its intermediate images on disk where they are asked for.

    ``raws`` is a list of one photo; the ``last`` rendering takes it out, so that its memory is free on the way.
    """
    params, options = session.sets[ending], session.options
    edits = as_edits(options.edits, raws[0].metadata.orientation)
    orientation = raws[0].metadata.orientation if options.orientation == "apply" else 1
    take = raws.pop if last else lambda: raws[0]
    if options.save_stages is None:
        return jax.block_until_ready(render(params, take(), edits=edits, config=session.config, look=look))
    stages = render_stages(params, take(), edits=edits, config=session.config, look=look)
    write_stages(options.save_stages / (name + ending), stages, orientation)
    return stages.srgb


def _write(picture, job, ending, metadata, settings, options, start, say):
    write_image(
        job.targets[ending],
        np.asarray(jax.device_get(picture)),
        quality=options.quality,
        bits=options.bits,
        exif=exif_from_raw(job.photo, metadata, settings=settings),
        orientation=options.orientation,
    )
    say(f"{job.label}{job.targets[ending]}, {time.perf_counter() - start:.1f} s")


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


def _job(photo, session, many, label):
    """The job of a photo of ``modisp render``."""
    options = session.options
    targets = {ending: _target(photo, options, many, ending) for ending in session.sets}
    named = options.output in targets.values()
    return Job(photo, targets, photo.stem, options.overwrite or named, label)


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
    check_bits(target, options)
    if output is not None and not target.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {target.parent} does not exist")
    return target


def check_bits(target, options):
    """Raises where the picture's format cannot hold ``--bits``."""
    if options.bits == 16 and FORMATS[target.suffix.lower()] == "jpeg":
        raise ValueError(f"--bits 16: expected a PNG or TIFF, got {target}; a JPEG has 8 bits")


def refuse_existing(job):
    """Raises where a picture stands under a name that was derived from the photo's, or could not be written."""
    for target in job.targets.values():
        if target.exists() and not job.replace:
            raise ValueError(f"{target} exists; --overwrite replaces it")
        if target.is_dir():
            raise ValueError(f"{target} is a folder; choose another --output")
        if target.parent.is_dir() and not os.access(target.parent, os.W_OK):
            raise ValueError(f"{target}: expected a folder that can be written to; choose another --output")


def refuse_collisions(jobs, options):
    """Raises before any work where a picture would replace a photo or another picture."""
    sources = {job.photo.resolve() for job in jobs}
    seen = {}
    for job in jobs:
        for ending, target in job.targets.items():
            places = [target.resolve()]
            if places[0] in sources:
                raise ValueError(f"{target} is itself one of the photos to render; choose another --output or --format")
            if options.save_stages is not None:
                places.append((options.save_stages / (job.name + ending)).resolve())
            for place in places:
                if place in seen:
                    photos = f"{job.photo} and {seen[place]}"
                    raise ValueError(f"{photos} would both become {place}; render them one at a time")
                seen[place] = job.photo


def _progress(line):
    print(line, file=sys.stderr, flush=True)
