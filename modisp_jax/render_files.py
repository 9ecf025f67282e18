"""Renders files to files: what ``modisp render`` does, and ``modisp batch`` in each of its processes.

While a photo is computed, the next one is decoded and the one before encoded and written, each by a thread; there is
never more than one of each in memory.
"""

import concurrent.futures
import ctypes
import dataclasses
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from modisp_jax import compile_cache
from modisp_jax.checkpoints import list_styles, load_params
from modisp_jax.config import HaloFixConfig, RenderConfig
from modisp_jax.describe import explain
from modisp_jax.inputs import adapter_of, read_input, with_stored
from modisp_jax.io.exif import exif_from_raw
from modisp_jax.io.images import write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.ops.geometry import crop_box
from modisp_jax.outputs import is_folder, job_of, refuse_collisions, refuse_existing
from modisp_jax.pipeline import render, render_stages
from modisp_jax.raw_jpeg import save_jpeg_with_raw
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
from modisp_jax.types import Raw

SCENE = "modisp_scene"

PICKED = "picked"
"""The mode of a light that is given as camera RGB."""

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
    white_balance: str | None
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
    embed_raw: bool
    raw_codec: str
    raw_quality: int
    linearize: str
    networks: Path | None
    stored_settings: bool
    overwrite: bool
    light: tuple | None = None
    """(mode, camera RGB of white): a picture's record has it, or, with :data:`PICKED`, the command line."""


FAILURES = (ValueError, OSError, MemoryError, jax.errors.JaxRuntimeError)
"""What one photo may fail of while the others go on; JAX's is that the device runs out of memory."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What photos are rendered with, the same for all."""

    sets: dict
    """Parameter sets by what they add to the names of their pictures."""
    config: RenderConfig
    options: RenderOptions


class Reading(NamedTuple):
    """A photo that has been read, and what is to be done with it."""

    raw: Raw | None
    """Under the light that was asked for; None once it is being rendered."""
    session: Session
    """The caller's, with the settings that the photo's file brings."""
    settings: dict
    """The record of it all, for the pictures."""
    note: str
    """The white balance's remark or ""."""
    metadata: object
    """The raw's."""
    kept: Raw | None
    """The raw as the file has it, where pictures are to carry it."""


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
    adapter_of(options)
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
    jobs = [job_of(photo, session, many, f"[{k}/{len(photos)}] ") for k, photo in enumerate(photos, 1)]
    refuse_collisions(jobs, options.save_stages)
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
            for job, reading in _read_ahead(reader, jobs, session):
                try:
                    photo = reading.result()
                    raws, photo = [photo.raw], photo._replace(raw=None)
                    del reading  # it would keep the photo in memory
                    _announce(raws[0], job, photo.note, say)
                    start = time.perf_counter()
                    last = list(job.targets)[-1]
                    for ending in job.targets:
                        picture, look = _compute(photo, ending, raws, ending == last, smooth[ending], job.name)
                        wait_for_writer()
                        written.append((job, writer.submit(_write, picture, look, job, ending, photo, start, say)))
                        del picture, look
                        start = time.perf_counter()
                    del photo
                except FAILURES as error:
                    wait_for_writer()
                    report(job, error)
            wait_for_writer()
        finally:
            reader.shutdown(cancel_futures=True)


def _read_ahead(reader, jobs, session):
    """Yields jobs with futures of their photos in order, while the next one is being decoded."""
    ahead = []
    for job in jobs:
        ahead.append((job, reader.submit(_read, job, session)))
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


def _read(job, session):
    """Decodes a photo, unless its pictures cannot be written anyway; a :class:`Reading`."""
    refuse_existing(job)
    found = read_input(job.photo, session.options)
    if found.settings:
        session = open_session(with_stored(session.options, found.settings, job.photo))
    elif found.linearized:  # a network that expects a sensor's noise takes a finished photo's texture for it
        edits = {"denoise": 0.0} | session.options.edits
        session = dataclasses.replace(session, options=dataclasses.replace(session.options, edits=edits))
    options = session.options
    raw, light, note = set_light(found.raw, options)
    settings = record(options, job.photo, light, stored=found.settings, linearized=found.linearized)
    return Reading(raw, session, settings, note, raw.metadata, found.raw if options.embed_raw else None)


def _announce(raw, job, note, say):
    """Says what is being rendered, once it is read: a bad file costs one line, its error."""
    size = f"{raw.image.shape[1]} x {raw.image.shape[0]} pixels"
    say(f"{job.label}{job.photo}, {size} (the first photo of a size is compiled, which takes a while)")
    if note:
        say(f"{job.label}white balance: {note}")


def _compute(photo, ending, raws, last, smooth, name):
    """The finished picture and, where pictures carry their raw, its look; intermediate images where they are asked for.

    ``raws`` is a list of one raw; the ``last`` rendering takes it out, so that its memory is free on the way.
    """
    params, options, config = photo.session.sets[ending], photo.session.options, photo.session.config
    edits = as_edits(options.edits, raws[0].metadata.orientation)
    orientation = raws[0].metadata.orientation if options.orientation == "apply" else 1
    take = raws.pop if last else lambda: raws[0]
    looks = []
    look = _noting(smooth, looks) if options.embed_raw else smooth
    if options.save_stages is None:
        picture = jax.block_until_ready(render(params, take(), edits=edits, config=config, look=look))
    else:
        stages = render_stages(params, take(), edits=edits, config=config, look=look)
        write_stages(options.save_stages / (name + ending), stages, orientation)
        picture = stages.srgb
    return picture, looks[0] if looks else None


def _noting(smooth, looks):
    """A function from the networks' look to the one to use, which is noted in a list."""

    def noting(look):
        looks.append(look if smooth is None else smooth(look))
        return looks[-1]

    return noting


def _write(picture, look, job, ending, photo, start, say):
    """Writes a picture, with its record and, where that is asked for, its raw."""
    options, settings = photo.session.options, photo.settings
    if options.style == EVERY_STYLE:
        settings = settings | {"style": ending.removeprefix("_")}
    exif = exif_from_raw(job.photo, photo.metadata, settings=settings)
    picture = np.asarray(jax.device_get(picture))
    common = {"quality": options.quality, "exif": exif, "orientation": options.orientation}
    if options.embed_raw:
        codec = {"codec": options.raw_codec, "raw_quality": options.raw_quality, "params": adapter_of(options)}
        save_jpeg_with_raw(job.targets[ending], picture, photo.kept, settings=settings, look=look, **codec, **common)
    else:
        write_image(job.targets[ending], picture, bits=options.bits, **common)
    say(f"{job.label}{job.targets[ending]}, {time.perf_counter() - start:.1f} s")


def _scene_path(output):
    """Where the built-in scene's DNG goes: beside the picture."""
    if output is None:
        return Path(f"{SCENE}.dng")
    folder = output if is_folder(output) else output.parent
    return folder / f"{SCENE}.dng"


def _synthesise(path, overwrite):
    """Writes the built-in scene as a DNG, where there is none yet."""
    if path.exists() and not overwrite:
        _progress(f"no photo given: rendering {path}")
        return
    _progress(f"no photo given: synthesising a raw scene as {path}")
    write_synthetic_dng(path)


def _progress(line):
    print(line, file=sys.stderr, flush=True)
