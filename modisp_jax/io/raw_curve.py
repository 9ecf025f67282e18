"""The *curve* codec: camera RGB in an 8-bit JPEG, through a curve that evens out noise, and decorrelated colours.

    v_c = ((x_c + t)^p - t^p) / ((top + t)^p - t^p)            the curve, the same for all channels, onto [0, 1]
    (Y, Cb, Cr) = M v + o, times 255, rounded                  M and o from the light: grey has Cb and Cr constant
    JPEG of Y, Cb, Cr, all at full resolution, every coefficient with the same step

``t`` is b / a of the noise's variance a x + b, read from the file or estimated; ``top`` is the photo's largest value.
Exponent, transform and steps are measured: docs/format.md.
"""

import io

import numpy as np

from modisp_jax.io.raw_container import ContainerError

EXPONENT = 0.5
"""Of the curve: .5 makes the noise of all brightnesses equal (Anscombe); less is kinder to shadows, and costs bytes."""
DEAD_ZONE = 0.65
"""Coefficients are rounded down up to this fraction of a step, where rounding to nearest has .5: a fifth fewer bytes
for .4 dB, which at equal bytes is .4 dB better."""
LUMA = (0.25, 0.5, 0.25)
_OFFSETS = (1e-4, 4e-3)
_ROWS = 256  # rows of pixels at a time; a multiple of 8


def curve_step(quality):
    """Step of all coefficients, 1..60, for a quality 1..100: ``round(.6 (100 - quality))``, at least 1."""
    return max(1, round(0.6 * (100 - quality)))


def encode_curve(image, neutral, quality=95, noise_profile=None):
    """Encodes camera RGB; returns (JPEG bytes, dict that JSON can hold for :func:`decode_curve`).

    Args:
      image: float32 [H, W, 3] in [0, 1].
      neutral: camera RGB of white, [3], any scale, positive.
      quality: 1..100, see :func:`curve_step`.
      noise_profile: (a, b) per channel [3, 2], variance a x + b, or None: then estimated from the image.
    """
    from PIL import Image

    top = max(float(image.max()), 1e-6)
    offset = float(np.float32(noise_offset(image, noise_profile) * top))
    matrix, shift = _transform(np.asarray(neutral, np.float64), offset, top)
    step = curve_step(quality)
    planes = np.empty(image.shape, np.uint8)
    for start in range(0, len(image), _ROWS):
        rows = _curve(image[start : start + _ROWS], offset, top)
        rows = (rows @ matrix.T.astype(np.float32) + shift.astype(np.float32)) * np.float32(255)
        planes[start : start + _ROWS] = _shrink_coefficients(rows, step)
    out = io.BytesIO()
    table = [step] * 64
    picture = Image.frombytes("YCbCr", (image.shape[1], image.shape[0]), planes)
    picture.save(out, "jpeg", qtables=[table, table], subsampling=0, optimize=True, progressive=True)
    facts = {
        "exponent": EXPONENT,
        "offset": offset,
        "top": top,
        "matrix": matrix.tolist(),
        "shift": shift.tolist(),
        "quality": quality,
    }
    return out.getvalue(), facts


def decode_curve(jpeg, facts, size):
    """Camera RGB float32 [H, W, 3] in [0, 1] from what :func:`encode_curve` made. Raises ``ContainerError``."""
    exponent, offset, top = (_number(facts, name) for name in ("exponent", "offset", "top"))
    if not (0.1 <= exponent <= 1 and 0 <= offset <= 1 and 0 < top <= 1):
        raise ContainerError(f"expected a curve's exponent, offset and top; got {exponent}, {offset}, {top}")
    matrix, shift = _numbers(facts, "matrix", (3, 3)), _numbers(facts, "shift", (3,))
    if np.linalg.cond(matrix) > 1e4:
        raise ContainerError(f"expected a matrix that can be inverted, got {matrix.tolist()}")
    inverse = np.linalg.inv(matrix)
    planes = decode_jpeg_planes(jpeg, size)
    image = np.empty(planes.shape, np.float32)
    scaled, moved = (inverse.T / 255).astype(np.float32), (inverse @ shift).astype(np.float32)
    low, high = offset**exponent, (top + offset) ** exponent
    table = (np.linspace(0, 1, 65536) * (high - low) + low) ** (1 / exponent) - offset
    table = np.clip(table, 0, top).astype(np.float32)
    for start in range(0, len(planes), _ROWS):
        v = planes[start : start + _ROWS].astype(np.float32) @ scaled - moved
        image[start : start + _ROWS] = table[np.rint(np.clip(v, 0, 1) * np.float32(65535)).astype(np.uint16)]
    return image


def decode_jpeg_planes(jpeg, size, mode="YCbCr"):
    """Planes uint8 [H, W, 3] of a JPEG as they are coded (``"YCbCr"``), or as ``"RGB"``. Raises ``ContainerError``."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
            if picture.size != (size[1], size[0]):
                raise ContainerError(f"expected a raw of {size[1]} x {size[0]}, got {picture.size}")
            picture.draft(mode, None)
            picture = picture if picture.mode == mode else picture.convert(mode)
            return np.asarray(picture)
    except ContainerError:
        raise
    except Exception as error:  # a decoder's own classes
        raise ContainerError(f"expected a JPEG of the raw, got: {error}") from None


def _number(facts, name):
    return float(_numbers(facts, name, ()))


def _numbers(facts, name, shape):
    try:
        array = np.asarray(facts[name], np.float64)
    except (KeyError, TypeError, ValueError):
        raise ContainerError(f"{name}: expected numbers of shape {shape} of the curve, got none") from None
    if array.shape != shape or not np.isfinite(array).all():
        raise ContainerError(f"{name}: expected finite numbers of shape {shape}, got {facts[name]!r}")
    return array


def _curve(x, offset, top):
    low, high = offset**EXPONENT, (top + offset) ** EXPONENT
    return (np.power(x + np.float32(offset), np.float32(EXPONENT)) - np.float32(low)) * np.float32(1 / (high - low))


def _transform(neutral, offset, top):
    """(M [3, 3], o [3]): Y a mean, Cb and Cr differences that vanish for grey; all three fill [0, 1]."""
    grey = _curve(neutral / neutral.max() * top / 2, offset, top).astype(np.float64)  # white at half the range
    blue = np.array([0, -1 / grey[1], 1 / grey[2]])
    red = np.array([1 / grey[0], -1 / grey[1], 0])
    blue, red = blue / np.abs(blue).sum(), red / np.abs(red).sum()
    matrix = np.stack([np.array(LUMA), blue, red])
    return matrix, np.array([0.0, -blue[1], -red[1]])


def _shrink_coefficients(plane_rows, step):
    """Planes float32 [h, w, 3] near [0, 255] as uint8 whose DCT coefficients lie on the steps, rounded towards zero.

    An encoder with that step then finds the same coefficients again. What does not fill a block of 8 is only rounded.
    """
    height, width = (side // 8 * 8 for side in plane_rows.shape[:2])
    out = np.clip(np.rint(plane_rows), 0, 255).astype(np.uint8)
    if not height or not width:
        return out
    basis = _dct_basis()
    for k in range(plane_rows.shape[-1]):
        blocks = plane_rows[:height, :width, k].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)
        coefficients = (blocks.reshape(-1, 64) - np.float32(128)) @ basis.T * np.float32(1 / step)
        rounded = np.floor(np.abs(coefficients) + np.float32(1 - DEAD_ZONE))
        rounded[:, 0] = np.floor(np.abs(coefficients[:, 0]) + np.float32(0.5))  # the blocks' means: nearest
        values = (np.copysign(rounded, coefficients) * np.float32(step)) @ basis + np.float32(128)
        blocks = np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(height // 8, width // 8, 8, 8)
        out[:height, :width, k] = blocks.transpose(0, 2, 1, 3).reshape(height, width)
    return out


def _dct_basis():
    """The 8 x 8 DCT-II, orthonormal, as a matrix [64, 64] of rows of coefficients."""
    k = np.arange(8)
    rows = np.sqrt(np.where(k == 0, 1, 2) / 8)[:, None] * np.cos(np.pi * (2 * k + 1) * k[:, None] / 16)
    return np.kron(rows, rows).astype(np.float32)


def noise_offset(image, noise_profile=None):
    """``t`` of the curve: b / a of the noise's variance a x + b, in [1e-4, 4e-3].

    From the noise profile where there is one, else from the image: of blocks of 16 x 16 pixels with about the same mean
    green, the tenth quietest shows the noise; a and b are fitted to those by least squares of relative errors. Texture
    makes that estimate a rough one; within the bounds, little hangs on it.
    """
    if noise_profile is not None:
        a, b = np.median(np.asarray(noise_profile, np.float64), axis=0)
        if np.isfinite([a, b]).all() and a > 0 and b >= 0:
            return float(np.clip(b / a, *_OFFSETS))
    green = np.asarray(image[..., 1], np.float32)
    rough = green[:-2, 1:-1] + green[2:, 1:-1] - green[1:-1, :-2] - green[1:-1, 2:]  # no mean, no slopes
    height, width = (side // 16 * 16 for side in rough.shape)
    if height * width < 64 * 256:
        return 1e-3
    blocks = [
        x[:height, :width].reshape(height // 16, 16, width // 16, 16).transpose(0, 2, 1, 3).reshape(-1, 256)
        for x in (green[1:-1, 1:-1], rough)
    ]
    mean, variance = blocks[0].mean(axis=1, dtype=np.float64), np.square(blocks[1]).mean(axis=1, dtype=np.float64)
    order = np.argsort(mean)
    groups = np.array_split(order[mean[order] < 0.9], 32)
    points = [(mean[g].mean(), np.quantile(variance[g], 0.1)) for g in groups if len(g) >= 8]
    points = np.array([p for p in points if p[1] > 0])
    if len(points) < 4:
        return 1e-3
    weighted = np.stack([points[:, 0], np.ones(len(points))], axis=1) / points[:, 1:]
    a, b = np.linalg.lstsq(weighted, np.ones(len(points)), rcond=None)[0]
    return float(np.clip(max(b, 0.0) / a if a > 0 else 1.0, *_OFFSETS))
