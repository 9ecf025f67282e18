"""Camera raw files: any format that LibRaw decodes, to demosaiced camera RGB or to its mosaic.

LibRaw's own scaling is switched off. What it decodes is scaled in NumPy, written back into its buffer, and only
interpolated there, so that levels, clipping and rounding are ours to state and the same for every camera.
"""

import dataclasses
import math

import numpy as np

from modisp_jax.io.decode import DecodeError, decode, is_separate
from modisp_jax.io.dng_pixels import carrier
from modisp_jax.io.libraw import RawError, opened, raw_errors
from modisp_jax.io.limits import output
from modisp_jax.io.metadata import RawMetadata, unpack_metadata

__all__ = ["DEMOSAICS", "Mosaic", "RawError", "RawFile", "RawMetadata", "read_metadata", "read_mosaic", "read_raw_file"]

DEMOSAICS = {"libraw": "AHD", "ahd": "AHD", "dht": "DHT", "dcb": "DCB", "ppg": "PPG", "vng": "VNG", "linear": "LINEAR"}
"""Name to LibRaw's algorithm for Bayer arrays. X-Trans and four-colour arrays have one of their own."""

_SMALLEST_X_TRANS = 512  # LibRaw interpolates in tiles of this size, and refuses smaller images


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A demosaiced raw file, in NumPy."""

    image: np.ndarray
    """Camera RGB as on the sensor (not turned), float32 [H, W, 3]: black 0, white level 1, in [0, 1]; not white
    balanced."""
    illuminant: np.ndarray
    """As-shot camera RGB of white, float64 [3], G = 1."""
    ccm: np.ndarray
    """White-balanced camera RGB to linear sRGB, float64 [3, 3], rows summing to 1."""
    metadata: RawMetadata


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """A Bayer file before interpolation, in NumPy."""

    values: np.ndarray
    """Float32 [H, W]: black 0, white level 1, in [0, 1]; not white balanced."""
    pattern: str
    """Letters of the 2 x 2 pattern from the top-left pixel, row by row: "RGGB", "BGGR", "GRBG" or "GBRG"."""
    illuminant: np.ndarray
    """As-shot camera RGB of white, float64 [3], G = 1."""
    ccm: np.ndarray
    """White-balanced camera RGB to linear sRGB, float64 [3, 3], rows summing to 1."""
    metadata: RawMetadata


def read_raw_file(path, *, demosaic="libraw"):
    """Reads and demosaics the raw file of any camera that LibRaw knows; returns a :class:`RawFile`.

    Bayer arrays are interpolated by LibRaw's algorithm ``demosaic`` (a key of ``DEMOSAICS``), X-Trans arrays by its
    own; linear files are taken as they are. Four-colour sensors are reduced to white-balanced linear sRGB, and
    monochrome ones repeated over R, G and B: illuminant and matrix are then the identity. The area is the active
    one; DNG's default crop and the orientation are in the metadata, not applied.

    Raises :class:`RawError` for a file that is missing, damaged, cut short or no raw file.
    """
    if demosaic not in DEMOSAICS:
        raise ValueError(f"demosaic: expected one of {', '.join(DEMOSAICS)}; got {demosaic!r}")
    if not is_separate():
        return read_raw_file_here(path, demosaic=demosaic)
    facts, image = _decoded("raw", path, demosaic=demosaic)
    return RawFile(image, *_color_of(facts))


def read_raw_file_here(path, *, demosaic="libraw"):
    """:func:`read_raw_file` in this process: what LibRaw crashes or hangs on takes the process with it."""
    with opened(path) as file:
        image = np.ascontiguousarray(develop(file, demosaic))
        return RawFile(image, file.illuminant, file.ccm, file.metadata)


def _decoded(job, path, **options):
    """What the decoding child made of a file: (facts, array)."""
    try:
        return decode(job, path, **options)
    except DecodeError as error:
        message = str(error) if error.refused else f"{path}: cannot be decoded: {error}"
        raise RawError(message) from None


def _color_of(facts):
    """(illuminant, matrix, metadata) of a child's facts."""
    illuminant, ccm = (np.array(facts[name], np.float64) for name in ("illuminant", "ccm"))
    return illuminant, ccm, unpack_metadata(facts["metadata"])


def read_mosaic(path):
    """Reads a Bayer file without interpolating it; returns a :class:`Mosaic`.

    Raises :class:`RawError` as :func:`read_raw_file` does, and for a file that is no 2 x 2 mosaic of R, G, G and B.
    """
    if not is_separate():
        return read_mosaic_here(path)
    facts, values = _decoded("mosaic", path)
    return Mosaic(values, facts["pattern"], *_color_of(facts))


def read_mosaic_here(path):
    """:func:`read_mosaic` in this process."""
    with opened(path) as file:
        pattern = file.metadata.pattern
        if len(pattern) != 4 or sorted(pattern) != ["B", "G", "G", "R"]:
            got = f"a filter array {pattern}" if pattern else "an image without a filter array"
            raise RawError(f"{path}: expected a Bayer mosaic of R, G, G and B, got {got}")
        values = normalize(file.stored, file.levels)[..., 0]
        return Mosaic(values, pattern, file.illuminant, file.ccm, file.metadata)


def read_metadata(path):
    """What the raw file at ``path`` says of itself (:class:`RawMetadata`), without demosaicing it.

    The file is decoded all the same, so that a damaged one is found out: raises :class:`RawError` as
    :func:`read_raw_file` does.
    """
    if not is_separate():
        return read_metadata_here(path)
    return unpack_metadata(_decoded("metadata", path)[0]["metadata"])


def read_metadata_here(path):
    """:func:`read_metadata` in this process."""
    with opened(path) as file:
        return file.metadata


def normalize(data, levels):
    """Stored values [H, W] or [H, W, S] to float32 [H, W, S]: ``clip01((x - black) / (white - black))``.

    They are uint16, or float32 without NaN.
    """
    data = data[..., None] if data.ndim == 2 else data
    black, white = levels.black, levels.white
    data = data[..., : black.shape[-1]]  # LibRaw may pad three planes to four
    height, width, samples = data.shape
    rows, columns = (math.lcm(a, b) for a, b in zip(black.shape[:2], white.shape[:2], strict=True))
    out = np.empty(data.shape, np.float32) if samples == 1 else output(data.shape)
    values = np.arange(65536, dtype=np.float64)
    for i in range(rows):
        for j in range(columns):
            for k in range(samples):
                low = black[i % black.shape[0], j % black.shape[1], k]
                high = white[i % white.shape[0], j % white.shape[1], k]
                cells = (slice(i, None, rows), slice(j, None, columns), k)
                plain = levels.black_of_row is None and levels.black_of_column is None
                if plain and data.dtype == np.uint16:
                    # A table of all 65536 values: exact, and faster than arithmetic on every pixel.
                    table = np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
                    out[cells] = table[data[cells]]
                else:
                    low = low + _offsets(levels.black_of_row, height)[i::rows, None]
                    low = low + _offsets(levels.black_of_column, width)[None, j::columns]
                    least = 1 if data.dtype == np.uint16 else 1e-6  # where a row's black reaches white
                    out[cells] = np.clip((data[cells] - low) / np.maximum(high - low, least), 0, 1)
    return out


def _offsets(values, count):
    return values if values is not None and values.size == count else np.zeros(count)


def interpolate(file, values, demosaic):
    """Interpolates a mosaic, float32 [H, W] in [0, 1], to camera RGB, float32 [H, W, 3 or 4] in [0, 1].

    The algorithms compare colours, and so want them white balanced: channel c is multiplied by ``1 / neutral_c``
    (largest gain 1) for the interpolation, and divided by it after. On the synthetic scene that is worth 5.9 dB in
    sRGB with AHD. The white level of a channel is made a whole number of LibRaw's 16-bit units, so that clipped
    pixels come back as exactly 1.
    """
    if file.pattern.shape == (6, 6) and min(values.shape) < _SMALLEST_X_TRANS:
        needed = f"{_SMALLEST_X_TRANS} x {_SMALLEST_X_TRANS}"
        raise RawError(f"{file.path}: expected an X-Trans image of at least {needed}, got {values.shape}")
    if min(values.shape) < 2:
        raise RawError(f"{file.path}: expected a mosaic of at least 2 x 2, got {values.shape}")
    # At most a factor 4 between channels: under warm light, more would cost bits of the others.
    gains = np.maximum(file.neutral.min() / file.neutral, 0.25)
    whites = np.rint(65535 * gains)
    # LibRaw numbers the second green of RGBG 3; it is channel 1.
    channel = [i if i < len(whites) else file.letters.index(letter) for i, letter in enumerate(file.letters)]
    n = file.pattern.shape[0]
    levels = np.array([[whites[channel[index]] for index in row] for row in file.pattern])
    if file.raw is not None:
        image = _interpolate_in(file.raw, values, levels, demosaic)
    else:
        with carrier(file.pattern, file.letters, values.shape) as (raw, pad, window):
            image = _interpolate_in(raw, pad(values), levels, demosaic)[window]
    developed = np.divide(image, whites.astype(np.float32)[: image.shape[-1]], out=output(image.shape))
    image = np.minimum(developed, np.float32(1), out=developed)
    if n == 6:  # LibRaw leaves a corner of X-Trans black where it finds no neighbour of a colour
        for corner, neighbour in ((0, 1), (-1, -2)):
            image[corner, [0, -1]] = image[neighbour, [1, -2]]
    return image


def _interpolate_in(raw, values, levels, demosaic):
    """LibRaw's interpolation, uint16 [H, W, C], of a mosaic in [0, 1] times the repeating ``levels`` [n, n]."""
    import rawpy

    target, n = raw.raw_image_visible, len(levels)
    if target.shape != values.shape:
        raise ValueError(f"expected LibRaw to keep {values.shape} pixels, got {target.shape}")
    for i in range(n):
        for j in range(n):
            target[i::n, j::n] = np.rint(values[i::n, j::n] * levels[i, j])
    return raw.postprocess(
        demosaic_algorithm=rawpy.DemosaicAlgorithm[DEMOSAICS[demosaic]],
        output_color=rawpy.ColorSpace.raw,
        output_bps=16,
        gamma=(1, 1),
        user_flip=0,
        user_black=0,
        user_cblack=[0, 0, 0, 0],
        no_auto_scale=True,
        no_auto_bright=True,
        adjust_maximum_thr=0.0,
    )


def develop(file, demosaic):
    """Camera RGB of an :class:`OpenRaw`, float32 [H, W, 3] in [0, 1]."""
    values = normalize(file.stored, file.levels)
    colors = len(file.neutral)
    if colors == 1:
        return np.repeat(values[..., :1], 3, axis=-1)
    if file.pattern is not None:
        with raw_errors(file.path):
            values = interpolate(file, values[..., 0], demosaic)
    image = values[..., :colors]
    if file.to_srgb is None:
        return image
    balanced = np.minimum(image / file.neutral.astype(np.float32), 1)
    return np.clip(balanced @ file.to_srgb.T.astype(np.float32), 0, 1)
