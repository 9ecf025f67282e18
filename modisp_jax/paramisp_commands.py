"""What the commands of ParamISP do: finished photos to raw files, and by way of their raw to other pictures.

Photos are worked on one after the other; one that fails is reported, and the rest goes on.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from modisp_jax import __version__, compile_cache
from modisp_jax.checkpoints import PARAMISP
from modisp_jax.describe import explain
from modisp_jax.io.dng_color import D65, CameraProfile, ccm_at, xyz_to_neutral
from modisp_jax.io.dng_write import color_tags, write_dng
from modisp_jax.io.exif import exif_from_raw
from modisp_jax.io.images import line_as_stored, write_image
from modisp_jax.io.photos import read_photo
from modisp_jax.io.raw import read_mosaic
from modisp_jax.linearization import DAYLIGHT, PROFILE
from modisp_jax.outputs import Job, check_bits, refuse_collisions, refuse_existing, target_of
from modisp_jax.paramisp import capture_of, fuse_exposures, photo_to_raw, synthesize_blur, transfer
from modisp_jax.paramisp.applications import expose
from modisp_jax.paramisp.blur import draw_noise
from modisp_jax.paramisp.fusion import load_opencv
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.render_files import FAILURES, give_memory_back
from modisp_jax.render_settings import RAW_SUFFIXES, named_source

GENERIC = "modisp_jax generic camera"
"""UniqueCameraModel of the made-up camera. Not that of the photo's own, whose colour profiles would not fit."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the commands have in common, see :mod:`modisp_jax.cli_paramisp`."""

    output: Path | None = None
    suffix: str = ".jpg"
    overwrite: bool = False
    like: Path | None = None
    pattern: str | None = None
    exposure: dict = dataclasses.field(default_factory=dict)
    """Fields of :class:`modisp_jax.paramisp.Capture` instead of the photo's own."""
    quality: int = 95
    bits: int | None = None


class Camera(NamedTuple):
    """The camera whose raw is made, NumPy."""

    illuminant: np.ndarray
    """Camera RGB of white, [3], green 1."""
    ccm: np.ndarray
    """White-balanced camera RGB to linear sRGB, [3, 3]."""
    pattern: str
    profile: CameraProfile
    name: str
    """DNG's UniqueCameraModel."""


def camera_of(like=None, pattern=None):
    """The :class:`Camera` of a raw file, or without one the made-up camera of finished photos under D65.

    Raises:
      ValueError: what is no raw file with a Bayer mosaic.
    """
    if like is None:
        neutral = xyz_to_neutral(D65, PROFILE)
        return Camera(neutral, ccm_at(PROFILE, neutral, cct=DAYLIGHT), pattern or "RGGB", PROFILE, GENERIC)
    found = read_mosaic(like)
    facts = found.metadata
    name = facts.unique_camera_model or " ".join(filter(None, (facts.make, facts.model))) or like.name
    return Camera(found.illuminant, found.ccm, pattern or found.pattern, facts.color, name)


def unrender(photos, options, *, networks, bits):
    """Makes a DNG of each photo; returns the exit code."""
    begin()
    params, config = load_paramisp(networks, ("inverse_isp",))
    camera = camera_of(options.like, options.pattern)

    def work(photo, capture, job, _):
        kept = {"pattern": camera.pattern, "config": config}
        raw = photo_to_raw(params["inverse_isp"], photo.srgb, camera.illuminant, camera.ccm, capture, **kept)
        exif = exif_from_raw(job.photo, photo.metadata, given=options.exposure)
        write_raw(job.targets[""], np.asarray(raw), photo.metadata, camera, exif, bits=bits)

    return _each(photos, options, work, formats=(".dng",))


def write_raw(path, mosaic, metadata, camera, exif, *, bits=14):
    """Writes a mosaic [H, W] in [0, 1] as a DNG.

    Args:
      path: of the file.
      mosaic: black 0 and white 1.
      metadata: the photo's ``RawMetadata``: make, model and orientation are kept.
      camera: a :class:`Camera`, whose colour and pattern the mosaic has.
      exif: a Pillow ``Exif`` with all else, see :func:`modisp_jax.io.exif.exif_from_raw`.
      bits: of a value, up to 16.
    """
    white = 2**bits - 1
    return write_dng(
        path,
        np.rint(np.clip(mosaic, 0.0, 1.0) * np.float32(white)).astype(np.uint16),
        pattern=camera.pattern,
        white=white,
        **color_tags(camera.profile, camera.illuminant, camera.ccm),
        make=metadata.make or "modisp_jax",
        model=metadata.model or "unknown camera",
        unique_camera_model=camera.name,
        orientation=metadata.orientation,
        exif=exif,
        compression="ljpeg",
    )


def hdr(photos, options, *, networks, gains):
    """Makes a picture of more range of each photo; returns the exit code."""
    load_opencv()
    begin()
    params, config = load_paramisp(networks)
    camera = camera_of(options.like, options.pattern)

    def work(photo, capture, job, _):
        kept = {"gains": gains, "pattern": camera.pattern, "config": config}
        pictures = expose(params, photo.srgb, camera.illuminant, camera.ccm, capture, **kept)
        record = {"networks": named_source(networks, (PARAMISP,)), "gains": gains}
        _write(job, {"": fuse_exposures(pictures)}, photo, options, hdr=record)

    return _each(photos, options, work, ending="_hdr")


def transfer_photos(photos, options, *, source, target):
    """Makes of each photo the picture of another camera; returns the exit code."""
    begin()
    inverse, config = load_paramisp(source, ("inverse_isp",))
    forward, forward_config = load_paramisp(target, ("forward_isp",))
    camera = camera_of(options.like, options.pattern)
    record = {"from": named_source(source, (PARAMISP,)), "to": named_source(target, (PARAMISP,))}

    def work(photo, capture, job, _):
        kept = {"pattern": camera.pattern, "config": config, "forward_config": forward_config}
        nets = inverse["inverse_isp"], forward["forward_isp"]
        picture = transfer(*nets, photo.srgb, camera.illuminant, camera.ccm, capture, **kept)
        _write(job, {"": picture}, photo, options, transfer=record)

    return _each(photos, options, work, ending="_transfer")


def blur(photos, options, *, networks, length, angle, noise, highlights, seed, sharp):
    """Makes a blurred picture of each photo, and where ``sharp`` the sharp one; returns the exit code."""
    begin()
    params, config = load_paramisp(networks)
    camera = camera_of(options.like, options.pattern)
    record = {"networks": named_source(networks, (PARAMISP,)), "length": length, "angle": angle}

    def work(photo, capture, job, number):
        levels_key, key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        levels = tuple(map(float, draw_noise(levels_key) if noise is None else noise))
        pictures = synthesize_blur(
            key,
            params,
            photo.srgb,
            camera.illuminant,
            camera.ccm,
            capture,
            length=length,
            angle=line_as_stored(angle, photo.metadata.orientation),
            noise=levels,
            highlights=highlights,
            pattern=camera.pattern,
            config=config,
        )
        made = {**record, "noise": levels, "highlights": highlights, "seed": seed}
        _write(job, dict(zip(("", "_sharp"), pictures, strict=True)), photo, options, blur=made)

    return _each(photos, options, work, ending="_blur", more=("_sharp",) if sharp else ())


def begin():
    """What a run begins with, before anything is compiled."""
    compile_cache.enable()
    give_memory_back()


def _each(photos, options, work, *, formats=None, ending="", more=()):
    """Does ``work(photo, capture, job, number)`` for each photo; returns the exit code.

    Args:
      photos: paths.
      options: :class:`Options`.
      work: makes the files of ``job.targets`` of a ``Photo`` and its exposure data.
      formats: extensions that can be written; None: those of pictures.
      ending: of pictures beside the photo or in a folder, after the photo's name.
      more: what is added to the name for further pictures.
    """
    jobs = [_job(photo, options, len(photos) > 1, formats, ending, more) for photo in photos]
    refuse_collisions(jobs)
    failed = 0
    for number, job in enumerate(jobs):
        label = f"[{number + 1}/{len(jobs)}] "
        try:
            refuse_existing(job)
            photo = _read(job.photo)
            photo = dataclasses.replace(photo, metadata=dataclasses.replace(photo.metadata, **options.exposure))
            height, width = photo.srgb.shape[:2]
            compiled = "the first photo of a size is compiled, which takes a while"
            _progress(f"{label}{job.photo}, {width} x {height} pixels ({compiled})")
            start = time.perf_counter()
            work(photo, capture_of(photo.metadata), job, number)
            _progress(f"{label}{', '.join(map(str, job.targets.values()))}, {time.perf_counter() - start:.1f} s")
        except FAILURES as error:
            failed += 1
            print(f"modisp: error: {explain(error, job.photo)}", file=sys.stderr, flush=True)
    if failed and len(jobs) > 1:
        _progress(f"{failed} of {len(jobs)} photos failed")
    return 2 if failed else 0


def _job(photo, options, many, formats, ending, more):
    kinds = {} if formats is None else {"formats": formats}
    target = target_of(photo, options.output, options.suffix, many=many, ending=ending, **kinds)
    if formats is None:
        check_bits(target, options.bits)
    targets = {name: target.with_stem(target.stem + name) for name in ("", *more)}
    return Job(photo, targets, photo.stem, options.overwrite or (options.output == target and not more))


def _read(path):
    """A finished photo; raw files, whose previews would be taken for it, are refused."""
    if path.suffix.lower() in RAW_SUFFIXES:
        raise ValueError(f"{path}: expected a finished photo (JPEG, PNG, TIFF, WebP, AVIF, HEIF), got a raw file")
    return read_photo(path)


def _write(job, pictures, photo, options, **record):
    """Writes a job's pictures, with the photo's EXIF and how they were made."""
    settings = {"modisp_jax": __version__, "photo": job.photo.name} | record
    exif = exif_from_raw(job.photo, photo.metadata, settings=settings, given=options.exposure)
    for name, target in job.targets.items():
        write_image(target, np.asarray(pictures[name]), quality=options.quality, bits=options.bits, exif=exif)


def _progress(line):
    print(line, file=sys.stderr, flush=True)
