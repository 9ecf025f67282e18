"""The file of the published tool: a JPEG, then flags, coefficients, the processed raw's JPEG, metadata and edits.

    JPEG, "1\\n1\\nCOMMENT\\n", JPEG, "\\nMETA\\n" JSON, "\\nEDIT\\n" JSON

A file without a raw has "0\\n1\\nnone\\n" and no second JPEG. COMMENT is five fields joined by ":" ("$" for an absent
one): base64 of the gamma map's shape (uint16), base64 of zlib of the map (float32), the same for DCT scales, base64 of
the LUT's shape, base64 of zlib of the LUT. Unlike the tool's own reader, which takes the first FF D9 for the end of the
picture, this one walks the segments, so that files with thumbnails are read too. Source: paper section I.10.
"""

import base64
import binascii
import json
import math
import zlib
from typing import NamedTuple

import numpy as np

from modisp_jax.io.dng_color import Calibration, CameraProfile, is_usable_matrix
from modisp_jax.io.jpeg_segments import JpegError, end_of_jpeg
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.raw_container import ContainerError
from modisp_jax.io.raw_look import inflate

GAMMA_SHAPE, LUT_SHAPE = (100, 100, 1), (1, 3, 129)
_META, _EDIT = b"\nMETA\n", b"\nEDIT\n"
_LONGEST_COMMENT = 2**17


class PublishedFile(NamedTuple):
    """What such a file holds beside its picture."""

    jpeg: bytes | None
    """The processed raw's JPEG; None where there is none."""
    lut: np.ndarray | None
    """Curves before normalisation, float32 [3, 129]."""
    gamma_map: np.ndarray | None
    """Exponents, float32 [100, 100, 1]."""
    metadata: dict
    """The tool's JSON of the raw; {} where there is none."""
    edits: dict
    """The tool's JSON of edits; {} where there is none."""


def find_published(data):
    """What the bytes (or a map) of a JPEG hold in the published tool's way, a :class:`PublishedFile`, or None.

    Raises :class:`ContainerError` for a file that begins so after its picture's end and does not go on so.
    """
    try:
        start = end_of_jpeg(data)
    except JpegError:
        return None
    flags = bytes(data[start : start + 4])
    if flags not in (b"0\n0\n", b"0\n1\n", b"1\n0\n", b"1\n1\n"):
        return None
    line_end = data.find(b"\n", start + 4, start + 4 + _LONGEST_COMMENT)
    if line_end < 0:
        raise ContainerError("expected a line of coefficients after the picture, got none")
    comment = bytes(data[start + 4 : line_end])
    jpeg, lut, gamma_map, position = None, None, None, line_end + 1
    if flags[:1] == b"1":
        gamma_map, lut = _read_comment(comment)
        try:
            position = end_of_jpeg(data, line_end + 1)
        except JpegError as error:
            raise ContainerError(f"expected the raw's JPEG after its coefficients: {error}") from None
        jpeg = bytes(data[line_end + 1 : position])
    metadata, edits = _read_texts(bytes(data[position:]), flags[2:3] == b"1")
    return PublishedFile(jpeg, lut, gamma_map, metadata, edits)


def _read_texts(text, expected):
    """(metadata, edits) of the two JSON at the file's end."""
    if not text.startswith(_META):
        if expected:
            raise ContainerError("expected the line META after the raw, got none: the file is cut short")
        return {}, {}
    meta, _, edit = text.removeprefix(_META).partition(_EDIT)
    return _json(meta, "META"), _json(edit, "EDIT") if edit else {}


def _json(text, name):
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"{name}: expected JSON, got: {error}") from None
    if not isinstance(found, dict):
        raise ContainerError(f"{name}: expected a JSON object, got {type(found).__name__}")
    return found


def _read_comment(comment):
    fields = comment.split(b":")
    if len(fields) != 5:
        raise ContainerError(f"expected five fields of coefficients, got {len(fields)}")
    if b"$" in (fields[0], fields[1], fields[3], fields[4]):
        raise ContainerError("expected a gamma map and a LUT, got none: only files with both can be read")
    return _array(fields[0], fields[1], GAMMA_SHAPE), _array(fields[3], fields[4], LUT_SHAPE)[0]


def _array(shape, values, expected):
    try:
        shape, values = (base64.b64decode(field, validate=True) for field in (shape, values))
    except binascii.Error as error:
        raise ContainerError(f"expected coefficients in base64, got: {error}") from None
    if shape != np.array(expected, "<u2").tobytes():
        raise ContainerError(f"expected coefficients of shape {expected}, got {np.frombuffer(shape[:16], 'u1')}")
    array = np.frombuffer(inflate(values, 4 * math.prod(expected), "comment"), "<f4").reshape(expected)
    if not np.isfinite(array).all():
        raise ContainerError("expected finite coefficients")
    return array.astype(np.float32)


def make_published(picture, jpeg, lut, gamma_map, metadata, edits=None):
    """The file's bytes: ``picture`` and ``jpeg`` (None for no raw) are JPEGs, ``metadata`` and ``edits`` dicts."""
    if jpeg is None:
        head = b"0\n1\nnone\n"
    else:
        head, jpeg = b"1\n1\n" + make_comment(lut, gamma_map) + b"\n", jpeg[: end_of_jpeg(jpeg)]
    texts = _META + json.dumps(metadata, indent=4, allow_nan=False).encode("ascii")
    if edits is not None:
        texts += _EDIT + json.dumps(edits, indent=4, allow_nan=False).encode("ascii")
    return picture[: end_of_jpeg(picture)] + head + (jpeg or b"") + texts


def make_comment(lut, gamma_map):
    """The line of coefficients, also for the COM segment of the raw's JPEG."""
    fields = []
    for array, shape in ((gamma_map, GAMMA_SHAPE), (None, None), (lut, LUT_SHAPE)):
        if array is None:
            fields.append(b"$")
            continue
        fields.append(base64.b64encode(np.array(shape, "<u2").tobytes()))
        values = np.asarray(array, "<f4").reshape(shape).tobytes()
        fields.append(base64.b64encode(zlib.compress(values, 9)))
    # One "$" stands for the shape and the values of the DCT scales.
    return b":".join(fields)


_CCT = {17: 2856.0, 21: 6504.0, 23: 5003.0}


def read_metadata(found, size):
    """(illuminant [3], ccm [3, 3], ``RawMetadata``) of the tool's JSON. Raises :class:`ContainerError`."""
    illuminant, ccm = _numbers(found, "illum_color", (3,)), _numbers(found, "ccm", (3, 3))
    if illuminant is None or ccm is None or not (illuminant > 0).all():
        raise ContainerError("META: expected illum_color, positive, and ccm")
    illuminant = illuminant / illuminant[1]
    calibrations = []
    for number in (1, 2):
        color = _numbers(found, f"color_matrix{number}", (3, 3))
        code = found.get(f"calibration_illuminant{number}")
        if color is None or not is_usable_matrix(color) or code not in _CCT:
            continue
        own = _numbers(found, f"camera_calibration{number}", (3, 3))
        own = np.eye(3) if own is None else own
        forward = _numbers(found, f"forward_matrix{number}", (3, 3))
        calibrations.append(Calibration(_CCT[code], color, forward, own, code))
    numbers = {name: _number(found.get(name)) for name in ("iso", "exposure_time", "f_number", "focal_length")}
    texts = {name: found[name] for name in ("make", "model") if isinstance(found.get(name), str)}
    return (
        illuminant,
        ccm,
        RawMetadata(
            **numbers,
            **texts,
            orientation=found["orientation"] if found.get("orientation") in range(1, 9) else 1,
            size=tuple(size),
            neutral=tuple(illuminant.tolist()),
            color=CameraProfile(tuple(calibrations), source="dng" if calibrations else "none"),
        ),
    )


def _number(value):
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number and value > 0 else None


def _numbers(found, name, shape):
    try:
        array = np.asarray(found[name], np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    is_usable = array.size == math.prod(shape) and np.isfinite(array).all()
    return array.reshape(shape) if is_usable else None


def make_metadata(illuminant, ccm, size, metadata):
    """The tool's JSON of a raw: what of it we know, under its names."""
    found = {
        "make": metadata.make,
        "model": metadata.model,
        "exposure_time": metadata.exposure_time,
        "shutter_speed": metadata.exposure_time,
        "f_number": metadata.f_number,
        "iso": metadata.iso,
        "focal_length": metadata.focal_length,
        "width": size[1],
        "height": size[0],
        "illum_color": [float(v) for v in illuminant],
        "ccm": [[float(v) for v in row] for row in ccm],
        "orientation": metadata.orientation,
    }
    for number, calibration in enumerate(metadata.color.calibrations[:2], 1):
        found[f"color_matrix{number}"] = calibration.color_matrix.ravel().tolist()
        found[f"camera_calibration{number}"] = calibration.camera_calibration.ravel().tolist()
        found[f"calibration_illuminant{number}"] = calibration.illuminant_code
        if calibration.forward_matrix is not None:
            found[f"forward_matrix{number}"] = calibration.forward_matrix.ravel().tolist()
    return {name: value for name, value in found.items() if value is not None}
