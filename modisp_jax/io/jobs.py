"""What the decoding child does, by name: each job takes a path and options, and returns (facts for JSON, array)."""

from pathlib import Path

from modisp_jax.io.exif import preview_exif
from modisp_jax.io.images import ImageError
from modisp_jax.io.metadata import pack_metadata
from modisp_jax.io.raw import RawError, read_metadata_here, read_mosaic_here, read_raw_file_here
from modisp_jax.io.thumbnails import raw_thumbnail_here

REFUSALS = (RawError, ImageError)
"""What a job raises for a file that it refuses, with one line for the person whose file it is."""


def _raw(path, demosaic):
    file = read_raw_file_here(path, demosaic=demosaic)
    return _facts(file), file.image


def _mosaic(path):
    file = read_mosaic_here(path)
    return _facts(file) | {"pattern": file.pattern}, file.values


def _metadata(path):
    return {"metadata": pack_metadata(read_metadata_here(path))}, None


def _preview_exif(path):
    data = preview_exif(path)
    return {"exif": None if data is None else data.hex()}, None


def _thumbnail(path, side):
    return {}, raw_thumbnail_here(Path(path), side)


def _facts(file):
    return {
        "illuminant": file.illuminant.tolist(),
        "ccm": file.ccm.tolist(),
        "metadata": pack_metadata(file.metadata),
    }


JOBS = {"raw": _raw, "mosaic": _mosaic, "metadata": _metadata, "preview_exif": _preview_exif, "thumbnail": _thumbnail}
