"""What a DNG file's tags say: levels, areas, pattern, colour calibration. Reading is tifffile's.

Tags live in two directories (IFD): colour in the first, levels and areas in that of the raw image, which is often a
SubIFD. Source: Digital Negative specification 1.6, chapters 3 to 6.
"""

import dataclasses
import math
import struct

import numpy as np

from modisp_jax.io.dng_color import (
    ILLUMINANT_CCT,
    OTHER_ILLUMINANT,
    Calibration,
    CameraProfile,
    is_usable_matrix,
    xy_to_xyz,
    xyz_to_cct,
    xyz_to_neutral,
)
from modisp_jax.io.quiet import quiet

CFA, LINEAR_RAW = 32803, 34892
COLOR_LETTERS = "RGBCMYW"
"""Letter of each CFAPlaneColor value."""

_RATIONAL = (5, 10)
_LONGEST = 2**20  # numbers in a tag; a look table of 90 x 30 x 30 x 3 has a quarter of it
# Tag codes of calibrations 1, 2, 3: illuminant, its data, ColorMatrix, CameraCalibration, ForwardMatrix.
_CALIBRATION_TAGS = (
    (50778, 52533, 50721, 50723, 50964),
    (50779, 52534, 50722, 50724, 50965),
    (52529, 52535, 52531, 52530, 52532),
)


@dataclasses.dataclass(frozen=True)
class DngTags:
    """The tags of a DNG file's first directory and of its raw image, numbers already divided out."""

    raw: dict
    """Of the raw image: code to string, bytes or float64 array [n]."""
    first: dict
    """Of the first directory; may be the same."""
    byte_order: str
    """"<" or ">"."""
    strips: tuple
    """(offset, byte count) of each strip or tile of the raw image."""

    def get(self, code, default=None):
        """The tag's value in the raw image's directory, or else in the first."""
        return self.raw.get(code, self.first.get(code, default))

    def number(self, code, default=None):
        """First number of a tag; ``default`` where it is absent or not finite."""
        value = self.get(code)
        if not isinstance(value, np.ndarray) or not value.size or not np.isfinite(value[0]):
            return default
        return float(value[0])

    def numbers(self, code, count=None):
        """A numeric tag as float64 [n]; None where absent, or not of ``count`` numbers."""
        value = self.get(code)
        if not isinstance(value, np.ndarray) or (count is not None and value.size != count):
            return None
        return value


def _plain(tag):
    """A tifffile tag's value as string, bytes or float64 array."""
    value = tag.value
    if isinstance(value, str | bytes | dict):
        if isinstance(value, bytes) and int(tag.dtype) == 1:  # BYTE: numbers
            return np.frombuffer(value, np.uint8).astype(np.float64)
        return value
    array = np.atleast_1d(np.asarray(value, np.float64)).ravel()
    if int(tag.dtype) in _RATIONAL:
        numerator, denominator = array[0::2], array[1::2]
        with np.errstate(divide="ignore", invalid="ignore"):
            array = np.where(denominator == 0, np.nan, numerator / denominator)
    return array


def read_dng_tags(path):
    """Tags of the DNG file at ``path``, or None for a file that is no DNG."""
    import tifffile

    with quiet("tifffile"):
        try:
            with tifffile.TiffFile(path) as tiff:
                first = tiff.pages[0]
                if 50706 not in first.tags:  # DNGVersion
                    return None
                raw = raw_page(tiff)
                plain = [{t.code: _plain(t) for t in page.tags if _is_of_use(t)} for page in (raw, first)]
                strips = tuple(zip(raw.dataoffsets, raw.databytecounts, strict=False))
                if not all(isinstance(number, int) and number >= 0 for strip in strips for number in strip):
                    strips = ()
                return DngTags(raw=plain[0], first=plain[1], byte_order=tiff.byteorder, strips=strips)
        except MemoryError:
            raise
        except Exception:  # tifffile raises nearly anything for a damaged file; LibRaw says what is wrong with it
            return None


def raw_page(tiff):
    """The page of tifffile's ``tiff`` that is the raw image; the first where none says so."""
    first = tiff.pages[0]
    return next((page for page in [first, *_sub_pages(first)] if _is_raw(page)), first)


def _is_of_use(tag):
    """Not EXIF's directory, nor a list so long that it can only be damage."""
    return tag.code != 34665 and (tag.count <= _LONGEST or int(tag.dtype) in (2, 7))


def _sub_pages(page):
    return list(page.pages or ()) if page.subifds else []


def _is_raw(page):
    subfile, photometric = page.tags.get(254), page.tags.get(262)
    main = subfile is None or int(subfile.value) & 1 == 0
    return main and photometric is not None and int(photometric.value) in (CFA, LINEAR_RAW)


def missing_bytes(tags, file_size):
    """Why the raw image's data cannot be whole in a file of ``file_size`` bytes, as a text; None where it can."""
    if not tags.strips or max(count for _, count in tags.strips) <= 0:
        return "no image data"
    end = max(offset + count for offset, count in tags.strips)
    if end > file_size:
        return f"image data up to byte {end}, but the file ends at {file_size}"
    height, width = tags.number(257, 0), tags.number(256, 0)
    bits, samples = tags.number(258, 16), tags.number(277, 1)
    needed = math.ceil(height * width * bits * samples / 8)
    stored = sum(count for _, count in tags.strips)
    if tags.number(259, 1) == 1 and stored < needed:
        return f"{needed} bytes of uncompressed image data, got {stored}"
    if tags.number(259) == 7 and bits > 8 and stored < needed / bits:
        return f"at least {math.ceil(needed / bits)} bytes of lossless JPEG, a bit a value, got {stored}"
    return None


@dataclasses.dataclass(frozen=True)
class Levels:
    """What black and white are in a raw image. Patterns repeat over the image from its top-left pixel."""

    black: np.ndarray
    """[rows, columns, samples] in the stored unit."""
    white: np.ndarray
    """[rows, columns, samples]: the smallest clipped value."""
    black_of_row: np.ndarray | None = None
    """Added to black, [H]."""
    black_of_column: np.ndarray | None = None
    """Added to black, [W]."""


def dng_levels(tags):
    """Levels of a DNG's active area.

    Black is BlackLevel, which repeats, plus BlackLevelDeltaV of the row and BlackLevelDeltaH of the column. White is
    WhiteLevel, by default
    LinearResponseLimit is no white level: a value above it is inexact, but not clipped.
    """
    samples = max(1, int(tags.number(277, 1)))
    repeat = tags.numbers(50713, 2)
    rows, columns = (int(v) for v in repeat) if repeat is not None and np.isfinite(repeat).all() else (1, 1)
    black = tags.numbers(50714)
    black = np.zeros(1) if black is None or not black.size else np.nan_to_num(black)
    if black.size != rows * columns * samples:
        rows, columns, black = 1, 1, np.full(samples, black[0])
    white = tags.numbers(50717)
    if white is None or not white.size or not np.isfinite(white).all():
        white = np.array([_default_white(tags)])
    return Levels(
        black=black.reshape(rows, columns, samples),
        white=np.resize(white, samples).reshape(1, 1, samples),
        black_of_row=tags.numbers(50716),
        black_of_column=tags.numbers(50715),
    )


def _default_white(tags):
    """1 for floating point, the largest value of the linearisation table, or of the sample's bits."""
    table = tags.numbers(50712)
    if tags.number(339, 1) == 3:
        return 1.0
    if table is not None and table.size:
        return np.nan_to_num(table).max()
    return 2.0 ** min(tags.number(258, 16), 32) - 1


def dng_pattern(tags):
    """Colour letters of the filter array from the active area's top-left pixel, row by row; "" without an array."""
    size, pattern = tags.numbers(33421, 2), tags.get(33422)
    if tags.number(262) != CFA or size is None or pattern is None:
        return ""
    values = pattern if isinstance(pattern, np.ndarray) else np.frombuffer(pattern, np.uint8)
    if not np.isfinite(size).all() or values.size != int(size[0] * size[1]):
        return ""
    return "".join(COLOR_LETTERS[int(v)] if v < len(COLOR_LETTERS) else "?" for v in values)


def _illuminant(code, data, byte_order):
    """(CCT or None, (x, y) or None) of a calibration illuminant."""
    code = 0 if code is None else int(code)
    if code != OTHER_ILLUMINANT:
        return ILLUMINANT_CCT.get(code), None
    if not isinstance(data, bytes) or len(data) < 18:
        return None, None
    kind, *fields = struct.unpack(byte_order + "H4I", data[:18])
    if kind != 0 or fields[1] == 0 or fields[3] == 0:  # kind 1 is a spectrum, which no camera is known to write
        return None, None
    xy = (fields[0] / fields[1], fields[2] / fields[3])
    try:
        return xyz_to_cct(xy_to_xyz(xy)), xy
    except ValueError:
        return None, None


def dng_profile(tags):
    """(CameraProfile, warnings) of a DNG's colour tags.

    Unusable entries (missing, not finite, not invertible, an unknown illuminant beside a known one) are left out and
    named in the warnings. CameraCalibration counts only where CameraCalibrationSignature equals
    ProfileCalibrationSignature, absent ones being empty (specification, chapter 6).
    """
    warnings = []
    signatures = [str(tags.get(code, "")).strip("\0 ") for code in (50931, 50932)]
    calibrations = []
    for number, codes in enumerate(_CALIBRATION_TAGS, 1):
        color, calibration, forward = (tags.numbers(code) for code in codes[2:])
        if color is None:
            continue
        if color.size != 9 or not is_usable_matrix(color.reshape(3, 3)):
            warnings.append(f"ColorMatrix{number} is unusable and left out")
            continue
        if forward is not None and not (is_usable_matrix(np.resize(forward, (3, 3))) and _positive_rows(forward)):
            warnings.append(f"ForwardMatrix{number} is unusable and left out")
            forward = None
        if calibration is not None and signatures[0] != signatures[1]:
            warnings.append(f"CameraCalibration{number} left out: its signature differs from the profile's")
            calibration = None
        elif calibration is not None and not is_usable_matrix(np.resize(calibration, (3, 3))):
            warnings.append(f"CameraCalibration{number} is unusable and left out")
            calibration = None
        code = tags.number(codes[0])
        cct, xy = _illuminant(code, tags.get(codes[1]), tags.byte_order)
        calibrations.append(
            Calibration(
                cct=cct or math.nan,
                color_matrix=color.reshape(3, 3),
                forward_matrix=None if forward is None else forward.reshape(3, 3),
                camera_calibration=np.eye(3) if calibration is None else calibration.reshape(3, 3),
                illuminant_code=None if code is None else int(code),
                illuminant_xy=xy,
            )
        )
    calibrations, dropped = _distinct(calibrations)
    if dropped:
        warnings.append("a calibration without a known illuminant of its own is left out")
    if not calibrations:
        warnings.append("no usable ColorMatrix")
    balance = tags.numbers(50727, 3)
    if balance is not None and not (np.isfinite(balance).all() and (balance > 0).all()):
        warnings.append("AnalogBalance is unusable and left out")
        balance = None
    profile = CameraProfile(
        calibrations=tuple(calibrations),
        analog_balance=np.ones(3) if balance is None else balance,
        noise_profile=_noise_profile(tags),
        source="dng" if calibrations else "none",
    )
    return profile, warnings


def _positive_rows(matrix):
    return matrix.size == 9 and bool((matrix.reshape(3, 3).sum(axis=1) > 0).all())


def _distinct(calibrations):
    """The calibrations that can be interpolated: known, differing temperatures; or else just the first one."""
    known = []
    for calibration in calibrations:
        if math.isfinite(calibration.cct) and all(abs(calibration.cct - c.cct) > 1.0 for c in known):
            known.append(calibration)
    kept = known if known else calibrations[:1]
    # One alone holds for every light; it gets the temperature of D50 where it has none.
    kept = [c if math.isfinite(c.cct) else dataclasses.replace(c, cct=5003.0) for c in kept]
    return kept, len(kept) < len(calibrations)


def _noise_profile(tags):
    values = tags.numbers(51041)
    if values is None or values.size not in (2, 6, 8) or not np.isfinite(values).all():
        return None
    return np.resize(values.reshape(-1, 2)[:3], (3, 2))


def dng_neutral(tags, profile):
    """As-shot neutral [3], G = 1, from AsShotNeutral or AsShotWhiteXY; None where neither is usable."""
    neutral = tags.numbers(50728, 3)
    if neutral is not None and np.isfinite(neutral).all() and (neutral > 0).all():
        return neutral / neutral[1]
    xy = tags.numbers(50729, 2)
    if xy is None or not profile.calibrations:
        return None
    try:
        return xyz_to_neutral(xy_to_xyz(xy), profile)
    except ValueError:
        return None
