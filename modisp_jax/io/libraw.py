"""LibRaw behind rawpy: opening a raw file, and its levels and colour."""

import contextlib
import dataclasses
import math
import os
import tempfile
import threading
from pathlib import Path

import numpy as np

from modisp_jax.io.dng_color import (
    D50,
    D65,
    XYZ_D50_TO_SRGB,
    Calibration,
    CameraProfile,
    adapt_to_d50,
    is_usable_matrix,
    xyz_to_neutral,
)
from modisp_jax.io.dng_pixels import active_area, is_ours, pattern_of, read_pixels
from modisp_jax.io.dng_tags import (
    Levels,
    dng_levels,
    dng_neutral,
    dng_profile,
    missing_bytes,
    read_dng_tags,
)
from modisp_jax.io.limits import LARGEST_RAW_EXPANSION, LARGEST_SIDE, check_size, grant
from modisp_jax.io.metadata import RawMetadata, describe_capture
from modisp_jax.io.white_balance import ccm_of_light, light_to_cct_tint

_ORIENTATION_OF_FLIP = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
_SIGNATURES = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF",
}
_STDERR_LOCK = threading.Lock()


class RawError(ValueError):
    """A raw file that cannot be read; one line that names the file, what was expected and what came."""


@dataclasses.dataclass(frozen=True)
class OpenRaw:
    """A decoded raw file; valid inside :func:`opened` only."""

    path: Path
    raw: object | None
    """``rawpy.RawPy``; None for a DNG that tifffile has read."""
    stored: np.ndarray
    """Values of the active area, uint16 or float32, [H, W] or [H, W, S]."""
    pattern: np.ndarray | None
    """Colour index of each cell of the filter array, [n, n], from the active area's top-left pixel; None for images
    that are not mosaics."""
    letters: str
    """Colour letter of each index."""
    levels: Levels
    neutral: np.ndarray
    """Camera colour of white under the scene's light, [colours], largest component 1."""
    illuminant: np.ndarray
    """The same for the developed image, [3], G = 1."""
    ccm: np.ndarray
    """White-balanced developed image to linear sRGB, [3, 3]."""
    to_srgb: np.ndarray | None
    """For four colours: white-balanced camera colours to linear sRGB, [3, 4]."""
    metadata: RawMetadata


@contextlib.contextmanager
def opened(path):
    """Decodes the raw file at ``path`` and yields an :class:`OpenRaw`; raises :class:`RawError` where that fails."""
    path = Path(path)
    _check_file(path)
    tags = read_dng_tags(path)
    if tags is not None:
        _check_claims(path, tags)
        if is_ours(tags):
            with raw_errors(path):
                file = _describe(path, None, tags)
            yield file
            return
    import rawpy

    raw = rawpy.RawPy()
    try:
        with raw_errors(path):
            with _reported_damage(path):
                open_in(raw, path)
                camera = {} if tags is not None else {"expansion": LARGEST_RAW_EXPANSION, "small": 2**20}
                _allow(path, raw.sizes.raw_height, raw.sizes.raw_width, **camera)
                raw.unpack()
            file = _describe(path, raw, tags)
        yield file
    finally:
        raw.close()


def open_in(raw, path):
    """Opens a file in ``rawpy.RawPy``, which takes no names but those in UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with path.open("rb") as file:
            raw.open_buffer(file)
    else:
        raw.open_file(str(path))


def _check_claims(path, tags):
    """Raises :class:`RawError` where a DNG cannot hold what its tags say."""
    height, width = tags.number(257, 0), tags.number(256, 0)
    if is_ours(tags):
        _allow(path, height, width, samples=min(tags.number(277, 1), 4))
    elif min(height, width) < 1 or max(height, width) > LARGEST_SIDE:  # the rest is checked with what LibRaw found
        _allow(path, height, width)
    problem = missing_bytes(tags, path.stat().st_size)
    if problem:
        raise RawError(f"{path}: the file is cut short: expected {problem}")


def _allow(path, height, width, samples=1, **limits):
    """Checks the size that a file claims, and has the decoding child expect it."""
    check_size(path, height, width, pixel_bytes=2 * samples, file_size=path.stat().st_size, error=RawError, **limits)
    grant(height * width)


def _check_file(path):
    if path.exists() and not path.is_file():
        kind = "a directory" if path.is_dir() else "what is no regular file"
        raise RawError(f"{path}: expected a camera raw file, got {kind}")
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise RawError(f"{path}: expected a camera raw file, found no file of that name") from None
    except OSError as error:
        raise RawError(f"{path}: expected a readable camera raw file, got {error.strerror}") from None
    if empty:
        raise RawError(f"{path}: expected a camera raw file, got an empty file")


def _kind(path, otherwise="a damaged file or one of unknown format"):
    """What a file that is no raw file looks like, for the error message."""
    with open(path, "rb") as file:
        head = file.read(512)
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if all(32 <= byte < 127 or byte in (9, 10, 13) for byte in head):
        return "a text file"
    return otherwise


@contextlib.contextmanager
def raw_errors(path):
    """Turns every failure of LibRaw, and what is wrong with a DNG's values, into :class:`RawError`."""
    import rawpy

    try:
        yield
    except RawError:
        raise
    except rawpy.LibRawIOError:
        raise RawError(f"{path}: expected a whole camera raw file, got {_kind(path, 'one that ends early')}") from None
    except rawpy.LibRawFileUnsupportedError:
        raise RawError(f"{path}: expected a camera raw file, got {_kind(path)}") from None
    except (rawpy.LibRawError, rawpy.NotSupportedError, NotImplementedError, OSError, RuntimeError) as error:
        message = error.args[0] if error.args else error
        message = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
        raise RawError(f"{path}: expected a camera raw file that LibRaw decodes, got its error: {message}") from None
    except MemoryError:
        raise RawError(
            f"{path}: cannot be decoded: it needs more memory than there is, or than its size justifies"
        ) from None
    except UnicodeError as error:
        raise RawError(f"{path}: cannot be decoded: {type(error).__name__}: {error}") from None
    except ValueError as error:
        raise RawError(f"{path}: {error}") from None


@contextlib.contextmanager
def _reported_damage(path):
    """Raises :class:`RawError` where LibRaw reports damaged data on stderr, and keeps the report from there.

    For some formats that is all that it does: it goes on, and returns what it has. The report is one of C's, so that
    only the file descriptor can be caught; what others write there meanwhile is passed on afterwards.
    """
    with _STDERR_LOCK, tempfile.TemporaryFile() as sink:
        try:
            saved = os.dup(2)
        except OSError:  # a process without stderr
            yield
            return
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            lines = sink.read().splitlines(keepends=True)
            reports = [line for line in lines if line.startswith((os.fsencode(path), b"unknown file"))]
            os.write(2, b"".join(line for line in lines if line not in reports))
    if reports:
        damage = reports[0].decode("utf-8", "replace").rsplit(":", 1)[-1].strip()
        raise RawError(f"{path}: expected whole image data, got damage: {damage}")


def _describe(path, raw, tags):
    """Values, levels, colour and metadata of a decoded file; without LibRaw's ``raw``, the DNG is read here."""
    warnings = []
    if raw is None:
        stored = read_pixels(path, tags)
        pattern, letters = pattern_of(tags)
        colors, shift, levels = len(letters), (0, 0), dng_levels(tags)
    else:
        stored, sizes, colors = raw.raw_image_visible, raw.sizes, raw.num_colors
        letters = raw.color_desc.decode("ascii", "replace")
        pattern = _visible_pattern(raw) if colors > 1 else None
        shift = (0, 0) if tags is None else _shift(tags, sizes)
        levels = _libraw_levels(raw, pattern) if tags is None else _moved(dng_levels(tags), *shift, sizes)
    if colors not in (1, 3, 4):
        raise RawError(f"{path}: expected an image of 1, 3 or 4 colours, got {colors}")
    if 0 in stored.shape:
        raise RawError(f"{path}: expected an image, got one of {stored.shape[0]} x {stored.shape[1]} pixels")
    if tags is None and stored.min() == stored.max():  # LibRaw makes that of data that it does not find
        raise RawError(f"{path}: expected a photo, got {stored.flat[0]} in every pixel")
    _check_levels(path, levels)
    if tags is not None:
        profile, warnings = dng_profile(tags) if colors == 3 else (CameraProfile(), [])
    else:
        profile = _libraw_profile(raw) if colors == 3 else CameraProfile()
    neutral = _neutral(raw, tags, profile, colors, warnings)
    illuminant, ccm, to_srgb = np.ones(3), np.eye(3), None
    if colors == 3:
        illuminant, ccm = neutral / neutral[1], _ccm(profile, neutral, warnings)
    elif colors == 4:
        to_srgb = _four_colors_to_srgb(raw, tags, warnings)
    capture = describe_capture(path)
    if tags is None:
        capture["orientation"] = _ORIENTATION_OF_FLIP.get(sizes.flip, 1)
    if raw is not None:
        _fill_from_libraw(capture, raw)
    means = [np.resize(v.reshape(-1, v.shape[-1]).mean(axis=0), 3) for v in (levels.black, levels.white)]
    metadata = RawMetadata(
        **capture,
        pattern="" if pattern is None else "".join(letters[i] for i in pattern.ravel()),
        size=stored.shape[:2],
        default_crop=_default_crop(tags, *shift) if tags else None,
        black=tuple(float(v) for v in _per_channel(levels.black, pattern, letters, means[0])),
        white=tuple(float(v) for v in _per_channel(levels.white, pattern, letters, means[1])),
        neutral=tuple(float(v) for v in illuminant),
        baseline_exposure=tags.number(50730, 0.0) if tags else 0.0,
        color=profile,
        format="DNG" if tags else path.suffix[1:].upper(),
        warnings=tuple(warnings),
    )
    return OpenRaw(path, raw, stored, pattern, letters, levels, neutral, illuminant, ccm, to_srgb, metadata)


def _shift(tags, sizes):
    """(rows, columns) by which LibRaw's area starts after DNG's active one: it moves an odd origin by one."""
    area = active_area(tags)
    top, left = (0, 0) if area is None else area[:2]
    return sizes.top_margin - top, sizes.left_margin - left


def _default_crop(tags, down, right):
    """(top, left, height, width) of DNG's default crop within LibRaw's area, or None."""
    origin, size = tags.numbers(50719, 2), tags.numbers(50720, 2)
    if origin is None or size is None or not (np.isfinite(origin).all() and np.isfinite(size).all()):
        return None
    return (float(origin[1] - down), float(origin[0] - right), float(size[1]), float(size[0]))


def _moved(levels, down, right, sizes):
    """Levels of an area that starts ``down`` and ``right`` of the one that they were given for."""
    rows, columns = levels.black_of_row, levels.black_of_column
    return Levels(
        black=np.roll(levels.black, (-down, -right), axis=(0, 1)),
        white=levels.white,
        black_of_row=None if rows is None else rows[down : down + sizes.height],
        black_of_column=None if columns is None else columns[right : right + sizes.width],
    )


def _visible_pattern(raw):
    """Colour indices [n, n] of the filter array from the active area's top-left pixel; None without an array."""
    pattern = raw.raw_pattern  # from the top-left pixel of the whole sensor
    if pattern is None:
        return None
    return np.roll(pattern, (-raw.sizes.top_margin, -raw.sizes.left_margin), axis=(0, 1))


def _per_channel(levels, pattern, letters, default):
    """Mean of a pattern of levels over the cells of each of R, G, B."""
    if pattern is None or levels.shape[-1] != 1:
        return default
    rows, columns = (math.lcm(a, b) for a, b in zip(levels.shape[:2], pattern.shape, strict=True))
    cells = np.array(list(letters))[np.resize(pattern, pattern.shape)]
    tiled = np.tile(levels[..., 0], (rows // levels.shape[0], columns // levels.shape[1]))
    cells = np.tile(cells, (rows // pattern.shape[0], columns // pattern.shape[1]))
    return [tiled[cells == c].mean() if (cells == c).any() else d for c, d in zip("RGB", default, strict=True)]


def _libraw_levels(raw, pattern):
    """Levels as LibRaw knows them. White is the camera's own figure per channel where the file has one.

    That figure (Canon, Sony, ...) is where the sensor saturates, often below LibRaw's ``white_level``, which is
    what the stored bits can hold: with the latter, clipped highlights would not read 1.
    """
    black = np.array(raw.black_level_per_channel, np.float64)
    white = np.full(4, float(raw.white_level))
    camera = raw.camera_white_level_per_channel
    if camera is not None:
        white = np.minimum(white, camera)
    if pattern is not None:
        return Levels(black=black[pattern][..., None], white=white[pattern][..., None])
    colors = raw.num_colors
    return Levels(black=black[None, None, :colors], white=white[None, None, :colors])


def _check_levels(path, levels):
    black, white = float(levels.black.max()), float(levels.white.min())
    if not (math.isfinite(black) and math.isfinite(white) and white > black):
        raise RawError(f"{path}: expected a white level above the black level, got white {white}, black {black}")


def _libraw_profile(raw):
    matrix = np.asarray(raw.rgb_xyz_matrix, np.float64)[:3]
    if not is_usable_matrix(matrix):
        return CameraProfile()
    return CameraProfile((Calibration(6504.0, matrix, illuminant_code=21),), source="libraw")


def _neutral(raw, tags, profile, colors, warnings):
    """As-shot camera colour of white, [colors], largest 1; from the file, or else of daylight."""
    if colors == 1:
        return np.ones(1)
    neutral = dng_neutral(tags, profile) if tags is not None and colors == 3 else None
    for name in ("camera_whitebalance", "daylight_whitebalance"):
        if neutral is not None:
            break
        if name == "daylight_whitebalance":
            warnings.append("no as-shot white balance; daylight is assumed")
            if profile.calibrations:
                neutral = xyz_to_neutral(D50, profile)
                break
        gains = np.zeros(colors) if raw is None else np.array(getattr(raw, name)[:colors], np.float64)
        if np.isfinite(gains).all() and (gains > 0).all():
            neutral = 1 / gains
    if neutral is None:
        warnings.append("no white balance at all; equal gains are assumed")
        neutral = np.ones(colors)
    return neutral / neutral.max()


def _ccm(profile, neutral, warnings):
    """Colour matrix of the scene; the identity, with a warning, where the file cannot give one."""
    if not profile.calibrations:
        warnings.append("no colour matrix for this camera; its RGB is taken for sRGB")
        return np.eye(3)
    try:
        # The published fixed point for the temperature does not converge for every camera (docs/white_balance.md).
        return ccm_of_light(profile, *light_to_cct_tint(neutral, profile))
    except (ValueError, np.linalg.LinAlgError) as error:
        warnings.append(f"no colour matrix at the as-shot neutral ({error}); camera RGB is taken for sRGB")
        return np.eye(3)


def _four_colors_to_srgb(raw, tags, warnings):
    """Matrix [3, 4]: four white-balanced camera colours to linear sRGB, white to white, by least squares."""
    if tags is None:
        matrix = np.asarray(raw.rgb_xyz_matrix, np.float64)
    else:
        stored = tags.numbers(50722, 12) if tags.numbers(50722, 12) is not None else tags.numbers(50721, 12)
        matrix = np.zeros((4, 3)) if stored is None else stored.reshape(4, 3)
    to_camera = matrix @ np.linalg.inv(XYZ_D50_TO_SRGB @ adapt_to_d50(D65))
    sums = to_camera.sum(axis=1)
    if not np.isfinite(to_camera).all() or not (sums > 0).all() or np.linalg.matrix_rank(to_camera) < 3:
        warnings.append("no colour matrix for this four-colour camera; its first three colours are taken for sRGB")
        return np.eye(3, 4)
    return np.linalg.pinv(to_camera / sums[:, None])


def _fill_from_libraw(capture, raw):
    """Completes what EXIF did not say with what LibRaw found in the maker's own notes."""
    other, lens = raw.other, raw.lens
    found = {
        "iso": other.iso_speed,
        "exposure_time": other.shutter_speed,
        "f_number": other.aperture,
        "focal_length": other.focal_length,
    }
    for name, value in found.items():
        if capture[name] is None and math.isfinite(value) and value > 0:
            capture[name] = float(value)
    capture["lens"] = capture["lens"] or lens.model.strip() or None
