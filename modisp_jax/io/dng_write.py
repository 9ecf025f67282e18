"""Writes DNG files: a mosaic or a linear image with its levels and colour, for LibRaw and Adobe's readers alike.

Source: Digital Negative specification 1.6, chapters 3 and 4. tifffile writes.
"""

import fractions

import numpy as np

from modisp_jax.io.dng_color import ILLUMINANT_CCT, check_neutral
from modisp_jax.io.dng_tags import CFA, COLOR_LETTERS, LINEAR_RAW
from modisp_jax.io.images import ImageError, replacing
from modisp_jax.io.tiff_exif import append_directories, directories_of_exif, placeholders, tiff_text
from modisp_jax.io.white_balance import virtual_profile

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL, _DOUBLE = 1, 2, 3, 4, 5, 10, 12
_LONGEST_LJPEG_SIDE = 65500
_SMALLEST = 2


def write_dng(
    path,
    pixels,
    *,
    pattern="RGGB",
    black=0,
    white=16383,
    color_matrix1=None,
    calibration_illuminant1=21,
    color_matrix2=None,
    calibration_illuminant2=17,
    forward_matrix1=None,
    forward_matrix2=None,
    camera_calibration1=None,
    camera_calibration2=None,
    analog_balance=None,
    as_shot_neutral=None,
    as_shot_white_xy=None,
    noise_profile=None,
    orientation=1,
    active_area=None,
    default_crop=None,
    make="modisp_jax",
    model="synthetic",
    unique_camera_model=None,
    lens=None,
    iso=None,
    exposure_time=None,
    f_number=None,
    focal_length=None,
    datetime=None,
    exif=None,
    extra_tags=(),
    compression=None,
):
    """Writes a DNG file and returns ``path``; what is None gets no tag.

    Args:
      pixels: uint16, [H, W] a mosaic or [H, W, 3 or 4] a linear image, the whole sensor.
      pattern: letters of the filter array from the active area's top-left pixel: 4 of "RGBCMYW", row by row, or 36
        for a 6 x 6 array. Not used for linear images.
      black: one number, an array [rows, columns] that repeats over the active area, or for linear images [S].
      white: one number, or for linear images [S].
      color_matrix1, ...: [3, 3] (or [4, 3] for four colours); illuminants by EXIF LightSource code.
      noise_profile: (a, b), or [n, 2] of them: variance a x + b of a value x in [0, 1].
      orientation: EXIF code 1..8.
      active_area: (top, left, bottom, right); by default the whole sensor.
      default_crop: (top, left, height, width) within the active area.
      unique_camera_model: by which readers know colour profiles of their own; default: make and model.
      iso, exposure_time (s), f_number, focal_length (mm), datetime ("YYYY:MM:DD HH:MM:SS"): of the exposure.
      exif: Pillow ``Exif`` with what else is known; its EXIF and GPS directories, artist and copyright are kept.
      extra_tags: (code, type, count, value, True) as tifffile's ``extratags``.
      compression: None, or ``"ljpeg"``: one strip of lossless JPEG (ITU-T T.81, annex H).

    The file appears under its name only when it is complete. Raises ``ImageError``.
    """
    pixels = np.asarray(pixels)
    linear = pixels.ndim == 3
    if pixels.dtype != np.uint16 or pixels.ndim not in (2, 3) or (linear and pixels.shape[-1] not in (3, 4)):
        raise ImageError(f"{path}: expected uint16 [H, W] or [H, W, 3], got {pixels.dtype} {pixels.shape}")
    if min(pixels.shape[:2]) < _SMALLEST:
        raise ImageError(f"{path}: expected at least {_SMALLEST} x {_SMALLEST} pixels, got {pixels.shape[:2]}")
    if orientation not in range(1, 9):
        raise ImageError(f"{path}: expected an EXIF orientation 1..8, got {orientation}")
    samples = pixels.shape[-1] if linear else 1
    tags = [
        _numbers(271, _ASCII, make),
        _numbers(272, _ASCII, model),
        _numbers(274, _SHORT, orientation),
        _numbers(50706, _BYTE, [1, 4, 0, 0]),  # DNGVersion
        _numbers(50707, _BYTE, [1, 1, 0, 0]),  # DNGBackwardVersion
        _numbers(50708, _ASCII, unique_camera_model or f"{make} {model}"),  # UniqueCameraModel
        *([] if linear else _pattern_tags(path, pattern)),
        *_black_tags(path, black, samples),
        _numbers(50717, _LONG, white),
        _numbers(50721, _SRATIONAL, color_matrix1),
        _numbers(50778, _SHORT, None if color_matrix1 is None else calibration_illuminant1),
        _numbers(50722, _SRATIONAL, color_matrix2),
        _numbers(50779, _SHORT, None if color_matrix2 is None else calibration_illuminant2),
        _numbers(50964, _SRATIONAL, forward_matrix1),
        _numbers(50965, _SRATIONAL, forward_matrix2),
        _numbers(50723, _SRATIONAL, camera_calibration1),
        _numbers(50724, _SRATIONAL, camera_calibration2),
        _numbers(50727, _RATIONAL, analog_balance),
        _numbers(50728, _RATIONAL, as_shot_neutral),
        _numbers(50729, _RATIONAL, as_shot_white_xy),
        _numbers(51041, _DOUBLE, noise_profile),
        _numbers(50829, _LONG, active_area),
        _numbers(50719, _RATIONAL, None if default_crop is None else (default_crop[1], default_crop[0])),
        _numbers(50720, _RATIONAL, None if default_crop is None else (default_crop[3], default_crop[2])),
        # The exposure, as TIFF/EP has it: in the first directory.
        _numbers(34855, _SHORT, None if iso is None else min(round(iso), 65535)),  # which stands for more, too
        _numbers(33434, _RATIONAL, exposure_time),
        _numbers(33437, _RATIONAL, f_number),
        _numbers(37386, _RATIONAL, focal_length),
        _numbers(306, _ASCII, datetime),
        _numbers(36867, _ASCII, datetime),
        _numbers(42036, _ASCII, lens),
    ]
    directories = {} if exif is None else directories_of_exif(exif)
    tags += placeholders(directories)
    tags += [_numbers(code, _ASCII, None if exif is None else exif.get(code)) for code in (315, 33432)]
    if compression not in (None, "ljpeg"):
        raise ImageError(f'{path}: expected compression None or "ljpeg", got {compression!r}')
    import tifffile

    data, options = pixels, {}
    if compression == "ljpeg":
        data = iter([encode_ljpeg(pixels)])
        options = {"shape": pixels.shape, "dtype": pixels.dtype, "compression": 7, "bitspersample": 16}
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            **options,
            photometric=LINEAR_RAW if linear else CFA,
            planarconfig="contig" if linear else None,
            rowsperstrip=pixels.shape[0],
            metadata=None,
            software="modisp_jax",
            byteorder="<",
            extratags=[tag for tag in tags if tag is not None] + list(extra_tags),
        )
        append_directories(temporary, directories)
    return path


def color_tags(profile, illuminant, ccm):
    """Arguments of :func:`write_dng` by which a reader finds a camera's colour again, to 1e-6.

    Up to two calibrations under lights that have EXIF codes go as they are, so that readers can move the light.
    Anything else becomes the one ColorMatrix that gives this light and this matrix, of
    :func:`modisp_jax.io.white_balance.virtual_profile`.

    Args:
      profile: a ``CameraProfile``.
      illuminant: camera RGB of white, [3], any scale.
      ccm: white-balanced camera RGB to linear sRGB, [3, 3], rows summing to 1.
    """
    known = all(c.illuminant_code in ILLUMINANT_CCT for c in profile.calibrations)
    if not (known and 1 <= len(profile.calibrations) <= 2):
        profile = virtual_profile(illuminant, ccm)
    found = {"as_shot_neutral": check_neutral(illuminant), "analog_balance": profile.analog_balance}
    for k, calibration in enumerate(profile.calibrations, 1):
        found |= {
            f"color_matrix{k}": calibration.color_matrix,
            f"camera_calibration{k}": calibration.camera_calibration,
            f"forward_matrix{k}": calibration.forward_matrix,
            f"calibration_illuminant{k}": calibration.illuminant_code,
        }
    return found


def encode_ljpeg(pixels):
    """Lossless JPEG of uint16 [H, W] or [H, W, 3], predictor 7: the mean of the neighbours above and to the left.

    A mosaic goes as two components of half the width, two rows side by side in one, so that a sample's neighbours are
    of its own colour; readers of DNG fill the strip row by row whatever the JPEG's width. On real files that makes a
    third less than a plain image of one component.
    """
    import imagecodecs

    if pixels.ndim == 2:
        height, width = pixels.shape
        if height % 2 == 0 and width % 2 == 0 and width <= _LONGEST_LJPEG_SIDE:
            pixels = pixels.reshape(height // 2, width, 2)
    return imagecodecs.jpeg_encode(np.ascontiguousarray(pixels), lossless=True, bitspersample=16, predictor=7)


def _numbers(code, kind, value):
    """A tag in tifffile's form, or None for no value."""
    if value is None:
        return None
    if kind == _ASCII:
        return (code, kind, 0, tiff_text(value), True)
    values = np.ravel(np.asarray(value, np.float64)).tolist()
    if kind in (_RATIONAL, _SRATIONAL):
        pairs = [_fraction(v) for v in values]
        return (code, kind, len(values), tuple(part for pair in pairs for part in pair), True)
    if kind != _DOUBLE:
        values = [round(v) for v in values]
    return (code, kind, len(values), tuple(values) if len(values) > 1 else values[0], True)


def _fraction(value):
    """(numerator, denominator) within 32 bits: fractions of up to a million, so that 1/455 stays 1/455."""
    fraction = fractions.Fraction(value).limit_denominator(1_000_000)
    return fraction.numerator, fraction.denominator


def _pattern_tags(path, pattern):
    side = {4: 2, 36: 6}.get(len(pattern))
    if side is None or not set(pattern) <= set(COLOR_LETTERS):
        raise ImageError(f'{path}: expected a pattern of 4 or 36 letters of "{COLOR_LETTERS}", got {pattern!r}')
    colors = sorted({COLOR_LETTERS.index(letter) for letter in pattern})
    return [
        _numbers(33421, _SHORT, [side, side]),  # CFARepeatPatternDim
        _numbers(33422, _BYTE, [COLOR_LETTERS.index(letter) for letter in pattern]),  # CFAPattern
        _numbers(50710, _BYTE, colors),  # CFAPlaneColor
        _numbers(50711, _SHORT, 1),  # CFALayout: rectangular
    ]


def _black_tags(path, black, samples):
    black = np.asarray(black, np.float64)
    if black.ndim not in (0, 1, 2) or (black.ndim == 1 and black.size != samples):
        raise ImageError(f"{path}: expected black as a number, [rows, columns] or [{samples}]; got {black.shape}")
    repeat = black.shape if black.ndim == 2 else (1, 1)
    values = np.full(samples, black) if black.ndim == 0 else black
    return [_numbers(50713, _SHORT, repeat), _numbers(50714, _RATIONAL, values)]
