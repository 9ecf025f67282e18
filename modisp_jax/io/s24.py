"""Raw photos in the layout of the S24, Zurich and FiveK sets: a 16-bit PNG and a JSON.

``raw_images/NAME.png`` is demosaiced camera RGB, ``data/NAME.json`` has cam_illum [3], ccm [3][3], orientation, and
optionally additional_metadata (ISO, exposure, DNG matrices). Source: paper section 3 and the published data sets.
"""

import dataclasses
from pathlib import Path

import numpy as np

from modisp_jax.io.dng_color import Calibration, CameraProfile, is_usable_matrix
from modisp_jax.io.exif import number, text
from modisp_jax.io.images import ImageError, read_image
from modisp_jax.io.json_text import read_json
from modisp_jax.io.libraw import RawError
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.raw import RawFile


def s24_json_places(png_path):
    """Where the JSON of a raw PNG may be: beside it, or in the folder "data" beside its folder."""
    path = Path(png_path)
    return [path.with_suffix(".json"), path.parent.parent / "data" / f"{path.stem}.json"]


def find_s24_json(png_path):
    """Path of the JSON of a raw PNG, or None."""
    return next((place for place in s24_json_places(png_path) if place.is_file()), None)


def read_s24(png_path, json_path=None):
    """Reads a demosaiced raw PNG with its JSON; returns a ``RawFile``.

    The PNG's full range is [0, 1]; illuminant becomes G = 1; the colour matrix is taken as it is. Raises ``RawError``
    for what is missing, of the wrong shape or not finite.
    """
    png_path = Path(png_path)
    if not png_path.is_file():
        raise RawError(f"{png_path}: expected a raw PNG, found no file of that name")
    json_path = find_s24_json(png_path) if json_path is None else Path(json_path)
    if json_path is None:
        places = " or ".join(str(place) for place in s24_json_places(png_path))
        raise RawError(f"{png_path}: expected its JSON at {places}, found none")
    try:
        image = read_image(png_path)
    except ImageError as error:
        raise RawError(str(error)) from None
    data = _read_json(json_path)
    illuminant = _array(json_path, data, "cam_illum", (3,))
    if not (illuminant > 0).all():
        raise RawError(f"{json_path}: expected positive cam_illum, got {illuminant.tolist()}")
    ccm = _array(json_path, data, "ccm", (3, 3))
    more = data.get("additional_metadata")
    metadata = _metadata(json_path, data, more if isinstance(more, dict) else {}, image.shape[:2])
    illuminant = illuminant / illuminant[1]
    metadata = dataclasses.replace(metadata, neutral=tuple(float(v) for v in illuminant))
    return RawFile(image, illuminant, ccm, metadata)


def _read_json(path):
    try:
        data = read_json(path)
    except OSError as error:
        raise RawError(f"{path}: expected a readable JSON file, got: {error.strerror}") from None
    except ValueError as error:
        raise RawError(f"{path}: expected JSON, got: {error}") from None
    if not isinstance(data, dict):
        raise RawError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def _array(path, data, key, shape):
    if key not in data:
        raise RawError(f"{path}: expected the key {key}, got {', '.join(data) or 'none'}")
    try:
        array = np.asarray(data[key], np.float64)
    except (TypeError, ValueError):
        raise RawError(f"{path}: expected numbers in {key}, got {data[key]!r}") from None
    if array.size == np.prod(shape) and array.ndim <= 2:  # flat, or a row or column, is as good
        array = array.reshape(shape)
    if array.shape != shape:
        raise RawError(f"{path}: expected {key} of shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise RawError(f"{path}: expected finite numbers in {key}, got {data[key]!r}")
    return array


def _metadata(path, data, more, size):
    """Metadata of what additional_metadata has under the usual names; the names of the sets differ a little."""
    orientation = number(data.get("orientation", 1))
    if orientation not in range(1, 9):
        raise RawError(f"{path}: expected an EXIF orientation 1..8, got {data['orientation']!r}")
    lower = {str(key).lower(): value for key, value in more.items()}

    def first(*names):
        return next((value for value in (number(lower.get(name)) for name in names) if value), None)

    calibrations = []
    # The S24's DNG files have D65 first and A second.
    for k, (cct, code) in enumerate(((6504.0, 21), (2856.0, 17)), 1):
        color, forward = (_matrix(lower, f"{kind}{k}") for kind in ("colormatrix", "forwardmatrix"))
        if color is not None:
            calibrations.append(Calibration(cct, color, forward_matrix=forward, illuminant_code=code))
    return RawMetadata(
        make=text(lower.get("make")),
        model=text(lower.get("model")),
        iso=first("iso", "iso_speed", "isospeed"),
        exposure_time=first("exposure_time", "exposuretime", "exposure", "shutter_speed"),
        orientation=int(orientation),
        size=tuple(size),
        color=CameraProfile(tuple(calibrations), source="s24" if calibrations else "none"),
        format="S24",
    )


def _matrix(lower, name):
    """A matrix of additional_metadata under ``name``, or its name with underscores; None where there is none."""
    for key, value in lower.items():
        if key.replace("_", "") == name:
            try:
                matrix = np.asarray(value, np.float64).reshape(3, 3)
            except (TypeError, ValueError):
                return None
            return matrix if is_usable_matrix(matrix) else None
    return None
