"""The *lossless* codec: the restored image equals the given one bit for bit.

A demosaiced image holds the sensor's values unchanged where they were measured. They are put back into a DNG (lossless
JPEG, which any raw converter opens), a third of the data; whether interpolating that file gives the image again is
tried out before it is chosen. Other images become a linear DNG where their values are steps of an integer scale, and
the two halves of their float32 bits where they are not.
"""

import tempfile
from pathlib import Path

import numpy as np

from modisp_jax.io.dng_tags import read_dng_tags
from modisp_jax.io.dng_write import write_dng
from modisp_jax.io.images import ImageError
from modisp_jax.io.jpeg_segments import JpegError, header_segments
from modisp_jax.io.raw_container import ContainerError

BAYER = ("RGGB", "BGGR", "GRBG", "GBRG")
MOSAIC, LINEAR, FLOAT = "mosaic", "linear", "float32"
_SMALLEST = 22  # LibRaw takes smaller images for thumbnails


def encode_lossless(image, metadata, develop):
    """Encodes camera RGB exactly; returns (dict that JSON can hold, parts), for :func:`decode_lossless`.

    Args:
      image: float32 [H, W, 3], finite.
      metadata: ``RawMetadata``.
      develop: function (path of a DNG, way of demosaicing) to its image, float32 [H, W, 3].
    """
    for kind, pixels, options, demosaic in _attempts(image, metadata):
        try:
            dng = _dng(pixels, metadata, options)
            if _equal(_developed(dng, demosaic, develop), image):
                return {"kind": kind, "demosaic": demosaic}, {"dng": dng}
        except (ImageError, ValueError, OverflowError):
            continue  # metadata that no DNG can hold, or that LibRaw refuses
    return {"kind": FLOAT}, _float_parts(image)


def decode_lossless(facts, parts, size, develop):
    """The image that :func:`encode_lossless` was given, float32 [H, W, 3]. Raises ``ValueError``."""
    if facts.get("kind") == FLOAT:
        return _from_float_parts(parts, size)
    if facts.get("kind") not in (MOSAIC, LINEAR) or facts.get("demosaic") not in ("libraw", "malvar"):
        raise ContainerError(f"expected a mosaic, a linear image or float32, got {facts!r}")
    image = _developed(_part(parts, "dng"), facts["demosaic"], develop, size)
    if image.shape != (*size, 3):
        raise ContainerError(f"expected a raw of shape {(*size, 3)}, got {image.shape}")
    return image


def _part(parts, name):
    if name not in parts:
        raise ContainerError(f"expected the part {name!r}, got {', '.join(parts) or 'none'}")
    return parts[name]


def _equal(a, b):
    """Whether two images are equal bit for bit: -0 is not 0."""
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a.view(np.uint32), b.view(np.uint32))


def _attempts(image, metadata):
    """Yields (kind, pixels, options, way of demosaicing) of DNGs that may bring the image back, the smallest first."""
    if min(image.shape[:2]) < _SMALLEST:
        return
    if metadata.pattern in BAYER:
        for demosaic in ("libraw", "malvar"):
            for pixels, options in _mosaics(image, metadata):
                yield MOSAIC, pixels, options, demosaic
    for pixels, options in _linears(image, metadata):
        yield LINEAR, pixels, options, "libraw"


def _mosaics(image, metadata):
    """(pixels, options) of the DNGs that may bring a Bayer image back: in the file's own levels, then in 16 bits."""
    blacks, whites = metadata.black, metadata.white
    if len(blacks) == len(whites) == 3 and len(set(whites)) == 1:
        pixels = _sampled(image, metadata.pattern, blacks, whites)
        if pixels is not None:
            cells = np.array([blacks["RGB".index(letter)] for letter in metadata.pattern]).reshape(2, 2)
            yield pixels, {"black": cells, "white": whites[0], "pattern": metadata.pattern}
    yield _sampled(image, metadata.pattern, (0, 0, 0), (65535,) * 3), {"white": 65535, "pattern": metadata.pattern}


def _sampled(image, pattern, blacks, whites):
    """What a sensor with these levels had measured, uint16 [H, W]; None where that does not fit."""
    pixels = np.empty(image.shape[:2], np.uint16)
    for cell, letter in enumerate(pattern):
        channel = "RGB".index(letter)
        here = (slice(cell // 2, None, 2), slice(cell % 2, None, 2))
        values = image[(*here, channel)].astype(np.float64)
        stored = np.rint(values * (whites[channel] - blacks[channel]) + blacks[channel])
        if stored.min() < 0 or stored.max() > 65535:
            return None
        pixels[here] = stored
    return pixels


def _linears(image, metadata):
    """(pixels, options) of the linear DNG that brings the image back, where its values are k / white."""
    neutral = np.asarray(metadata.neutral, np.float64)
    neutral = neutral / neutral.max()
    gains = np.maximum(neutral.min() / neutral, 0.25)
    whites, pixels = [], np.empty(image.shape, np.uint16)
    for channel in range(3):
        plane = image[..., channel]
        candidates = [65535.0, np.rint(65535 * gains[channel]), 255.0]
        if metadata.white and metadata.black:
            candidates.append(metadata.white[channel] - metadata.black[channel])
        for white in candidates:
            if not (1 <= white <= 65535 and white == round(white)):
                continue
            stored = np.rint(plane.astype(np.float64) * white)
            if np.array_equal((stored / white).astype(np.float32), plane):
                pixels[..., channel] = stored
                whites.append(white)
                break
        else:
            return
    yield pixels, {"black": 0, "white": np.array(whites)}


def _dng(pixels, metadata, options):
    """A DNG's bytes: the pixels and what is known of the camera and the exposure."""
    colors = {}
    for number, calibration in enumerate(metadata.color.calibrations[:2], 1):
        colors[f"color_matrix{number}"] = calibration.color_matrix
        colors[f"forward_matrix{number}"] = calibration.forward_matrix
        colors[f"calibration_illuminant{number}"] = calibration.illuminant_code or 0
        if not np.array_equal(calibration.camera_calibration, np.eye(3)):
            colors[f"camera_calibration{number}"] = calibration.camera_calibration
    if not np.array_equal(metadata.color.analog_balance, np.ones(3)):
        colors["analog_balance"] = metadata.color.analog_balance
    neutral = np.asarray(metadata.neutral, np.float64)
    with tempfile.TemporaryDirectory(prefix="modisp-") as folder:
        path = write_dng(
            Path(folder) / "raw.dng",
            pixels,
            **options,
            **colors,
            as_shot_neutral=neutral / neutral.max(),
            noise_profile=metadata.color.noise_profile,
            orientation=metadata.orientation,
            default_crop=metadata.default_crop,
            make=_ascii(metadata.make) or "unknown",
            model=_ascii(metadata.model) or "unknown",
            lens=_ascii(metadata.lens),
            iso=metadata.iso,
            exposure_time=metadata.exposure_time,
            f_number=metadata.f_number,
            focal_length=metadata.focal_length,
            datetime=metadata.datetime and metadata.datetime.replace("-", ":").replace("T", " "),
            compression="ljpeg",
        )
        return path.read_bytes()


def _ascii(text):
    return text and text.encode("ascii", "replace").decode("ascii")


def _developed(dng, demosaic, develop, size=None):
    """The DNG's image; where ``size`` is given, its tags must state it before anything is decoded."""
    with tempfile.TemporaryDirectory(prefix="modisp-") as folder:
        path = Path(folder) / "raw.dng"
        path.write_bytes(dng)
        tags = read_dng_tags(path) if size is not None else None
        stated = None if tags is None else (tags.number(257, 0), tags.number(256, 0))
        if stated != (None if size is None else tuple(size)):
            raise ContainerError(f"part 'dng': expected a DNG of {size[0]} x {size[1]}, got {stated}")
        return develop(path, demosaic)


def _float_parts(image):
    """Upper and lower 16 bits of each float, as lossless JPEGs of three components."""
    import imagecodecs

    bits = np.ascontiguousarray(image).view(np.uint32)
    halves = {"high": (bits >> 16).astype(np.uint16), "low": (bits & 0xFFFF).astype(np.uint16)}
    options = {"lossless": True, "bitspersample": 16, "predictor": 1}
    return {name: imagecodecs.jpeg_encode(half, **options) for name, half in halves.items()}


def _from_float_parts(parts, size):
    import imagecodecs

    halves = []
    for name in ("high", "low"):
        jpeg = _part(parts, name)
        if frame_of(jpeg) != (*size, 3):
            raise ContainerError(f"part {name!r}: expected a lossless JPEG of {(*size, 3)}, got {frame_of(jpeg)}")
        try:
            halves.append(imagecodecs.jpeg_decode(jpeg).astype(np.uint32))
        except Exception as error:  # a decoder's own classes
            raise ContainerError(f"part {name!r}: expected a lossless JPEG, got: {error}") from None
    return ((halves[0] << 16) | halves[1]).view(np.float32)


def frame_of(jpeg):
    """(height, width, components) that the frame header of a JPEG's bytes states. Raises ``ContainerError``."""
    try:
        segments = header_segments(jpeg)
    except JpegError as error:
        raise ContainerError(f"expected a JPEG: {error}") from None
    for segment in segments:
        if 0xC0 <= segment.marker <= 0xCF and segment.marker not in (0xC4, 0xC8, 0xCC):
            content = segment.content(jpeg)
            if len(content) >= 6:
                return int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big"), content[5]
    raise ContainerError("expected a JPEG with a frame header, got none")
