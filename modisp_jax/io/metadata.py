"""What a raw file says of itself: camera, exposure, levels, colour."""

import dataclasses
import datetime
import json
import math

import numpy as np

from modisp_jax.io.dng_color import Calibration, CameraProfile
from modisp_jax.io.exif import number, read_exif, text


@dataclasses.dataclass(frozen=True)
class RawMetadata:
    """What a raw file says of itself. None or "" where it says nothing."""

    make: str | None = None
    model: str | None = None
    unique_camera_model: str | None = None
    """DNG's UniqueCameraModel."""
    lens: str | None = None
    iso: float | None = None
    exposure_time: float | None = None
    """Seconds."""
    f_number: float | None = None
    focal_length: float | None = None
    """Millimetres."""
    datetime: str | None = None
    """When it was taken, camera's clock, ISO 8601 without a zone."""
    orientation: int = 1
    """EXIF code 1..8: how the stored pixels are to be turned for viewing."""
    pattern: str = ""
    """Colour letters of the filter array from the active area's top-left pixel, row by row: "RGGB", 36 letters for
    X-Trans, "" for images that are not mosaics."""
    size: tuple[int, int] = (0, 0)
    """(height, width) of the active area in pixels, not turned."""
    default_crop: tuple[float, float, float, float] | None = None
    """(top, left, height, width) within the active area that DNG suggests to show. Not applied."""
    black: tuple[float, ...] = ()
    """Black level per channel R, G, B (mean over the pattern), in stored units."""
    white: tuple[float, ...] = ()
    """White level per channel R, G, B, in stored units."""
    neutral: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """As-shot camera RGB of white, G = 1."""
    baseline_exposure: float = 0.0
    """EV that the camera's maker wants added (DNG BaselineExposure). Not applied."""
    color: CameraProfile = dataclasses.field(default_factory=CameraProfile)
    """Calibration of the camera's colour and noise."""
    format: str = ""
    """"DNG", "S24", or the file's extension in capitals."""
    warnings: tuple[str, ...] = ()
    """What was missing or unusable in the file, and what was done instead."""

    def to_dict(self):
        """The same as plain dicts, lists, strings and numbers, fit for JSON (NaN and infinity become None)."""
        return _json_safe(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, found):
        """The metadata that :meth:`to_dict` made ``found`` of; names that it does not know are left out.

        Raises ``ValueError`` for values of another kind.
        """
        if not isinstance(found, dict):
            raise ValueError(f"expected metadata as names and values, got {type(found).__name__}")
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in found.items() if name in known}
        try:
            return cls(**{name: _restored(name, value) for name, value in values.items()})
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"expected metadata of a raw file, got: {error}") from None


_TEXTS = ("make", "model", "unique_camera_model", "lens", "datetime", "pattern", "format")
_NUMBERS = ("iso", "exposure_time", "f_number", "focal_length", "baseline_exposure")
_OPTIONAL = (*_TEXTS[:5], *_NUMBERS[:4], "default_crop")
_TUPLES = {"size": 2, "default_crop": 4, "black": None, "white": None, "neutral": 3}


def _restored(name, value):
    """A field's value from what JSON made of it."""
    if name == "color":
        return _profile(value)
    if name == "warnings":
        return tuple(str(item) for item in value)
    if value is None and name in _OPTIONAL:
        return None
    if name in _TEXTS and isinstance(value, str):
        return value
    if name in _NUMBERS and _is_number(value):
        return value
    if name == "orientation" and value in range(1, 9):
        return value
    is_list = name in _TUPLES and isinstance(value, list) and all(_is_number(item) for item in value)
    if is_list and len(value) == (_TUPLES[name] or len(value)):
        return tuple(value)
    raise ValueError(f"{name}: expected metadata of a raw file, got {value!r}")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _profile(found):
    calibrations = [
        Calibration(
            cct=float(item["cct"]),
            color_matrix=_array(item["color_matrix"], (3, 3)),
            forward_matrix=_array(item["forward_matrix"], (3, 3)),
            camera_calibration=_array(item["camera_calibration"], (3, 3)),
            illuminant_code=item["illuminant_code"],
            illuminant_xy=None if item["illuminant_xy"] is None else tuple(map(float, item["illuminant_xy"])),
        )
        for item in found["calibrations"][:3]
    ]
    return CameraProfile(
        tuple(calibrations),
        analog_balance=_array(found["analog_balance"], (3,)),
        noise_profile=_array(found["noise_profile"], (3, 2)),
        source=str(found["source"]),
    )


def _array(value, shape):
    if value is None:
        return None
    array = np.asarray(value, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"color: expected finite numbers of shape {shape}, got {value!r}")
    return array


def _json_safe(value):
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _json_safe(value.tolist())
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def pack_metadata(metadata):
    """The same as dicts, lists and numbers, NaN and infinity as they are; :func:`unpack_metadata` undoes it."""
    return json.loads(json.dumps(dataclasses.asdict(metadata), default=lambda array: array.tolist()))


def unpack_metadata(facts):
    """The inverse of :func:`pack_metadata`, to the last bit."""
    color = dict(facts["color"])
    color["calibrations"] = tuple(
        Calibration(**{key: _array_or_tuple(value) for key, value in one.items()}) for one in color["calibrations"]
    )
    color = {key: np.array(value, np.float64) if isinstance(value, list) else value for key, value in color.items()}
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items() if key != "color"}
    return RawMetadata(**plain, color=CameraProfile(**color))


def _array_or_tuple(value):
    """A matrix as an array; a chromaticity stays a tuple."""
    if not isinstance(value, list):
        return value
    return np.array(value, np.float64) if isinstance(value[0], list) else tuple(value)


def describe_capture(path):
    """Camera and exposure from a raw file's EXIF, as keyword arguments of :class:`RawMetadata`."""
    return capture_of(read_exif(path))


def capture_of(found):
    """The same from what :func:`modisp_jax.io.exif.read_exif` found."""
    image, exif = found["image"], {**found["image"], **found["exif"]}  # TIFF/EP files have exposure in the first IFD
    orientation = number(image.get(0x0112))
    return {
        "make": text(image.get(0x010F)),
        "model": text(image.get(0x0110)),
        "unique_camera_model": text(image.get(0xC614)),
        "lens": text(exif.get(0xA434)),
        "iso": number(exif.get(0x8827)),
        "exposure_time": number(exif.get(0x829A)),
        "f_number": number(exif.get(0x829D)),
        "focal_length": number(exif.get(0x920A)),
        "datetime": iso_datetime(text(exif.get(0x9003)) or text(exif.get(0x0132))),
        "orientation": int(orientation) if orientation in range(1, 9) else 1,
    }


def iso_datetime(value):
    """EXIF's "2017:09:21 16:40:10" as "2017-09-21T16:40:10"; None where it is no date."""
    try:
        return datetime.datetime.strptime(value or "", "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None
