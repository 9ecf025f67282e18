"""ICC profiles of finished photos: any colour space that LittleCMS reads, to sRGB, in floating point."""

import numpy as np

from modisp_jax.io.images import srgb_profile

RELATIVE_COLORIMETRIC = 1
BLACK_POINT_COMPENSATION = 0x2000

SPACES = {b"RGB ": ("rgb", 3), b"GRAY": ("gray", 1), b"CMYK": ("cmyk", 4)}
"""Signature in a profile's header to LittleCMS's name and the number of channels."""

BAND = 2**20
"""Pixels that are converted at a time, which bounds what conversion needs of memory."""

ADOBE_RGB_TO_SRGB = np.array([[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]])
"""Linear Adobe RGB (1998) to linear sRGB; both have D65 for white. From the two sets of primaries."""

ADOBE_GAMMA = 563 / 256

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def profile_space(profile):
    """(name, channels) of the colour space that an ICC profile (bytes) is for, or None where there is no saying."""
    return SPACES.get(bytes(profile[16:20])) if len(profile) >= 128 and profile[36:40] == b"acsp" else None


def profile_name(profile):
    """Description of an ICC profile (bytes), "" where it has none."""
    import io

    from PIL import ImageCms

    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return ""


def to_srgb(pixels, profile):
    """Converts pixels by an ICC profile to sRGB, colours outside of sRGB brought in by :func:`into_srgb`.

    Relative colorimetric with black point compensation, in floating point (CMYK: 16 bit, as its tables are).

    Args:
      pixels: float32 [H, W, C] in [0, 1]; C is 1 (grey), 3 or 4 (CMYK, 1 is full ink).
      profile: bytes of an ICC profile for as many channels.

    Returns:
      float32 [H, W, 3] in [0, 1], ``pixels`` themselves where the profile is sRGB's (to 1/1024 everywhere).

    Raises:
      ValueError: a profile that is damaged or for other channels.
    """
    space = profile_space(profile)
    if space is None or space[1] != pixels.shape[-1]:
        what = bytes(profile[16:20]).decode("ascii", "replace").strip() if len(profile) >= 20 else "nothing"
        raise ValueError(f"expected an ICC profile for {pixels.shape[-1]} channels, got one for {what or 'nothing'}")
    convert = _converter(profile, space[0])
    if space[0] == "rgb" and _is_srgb(convert):
        return pixels
    out = np.empty((*pixels.shape[:2], 3), np.float32)
    rows = max(1, BAND // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        out[top : top + rows] = into_srgb(convert(pixels[top : top + rows]))
    return out


def _converter(profile, space):
    """A function from [h, w, C] in [0, 1] to sRGB values [h, w, 3], which may leave [0, 1]."""
    import imagecodecs

    options = {"outcolorspace": "rgb", "intent": RELATIVE_COLORIMETRIC, "flags": BLACK_POINT_COMPENSATION}

    def convert(x):
        x = np.ascontiguousarray(x[..., 0] if space == "gray" else x)
        if space == "cmyk":
            x = (x * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
        kind = "uint16" if space == "cmyk" else "float32"
        try:
            y = imagecodecs.cms_transform(x, profile, srgb_profile(), colorspace=space, outdtype=kind, **options)
        except Exception as cause:  # a class of its own, and those of ctypes for damaged tables
            raise ValueError(f"expected a usable ICC profile, got: {cause}") from None
        y = y.astype(np.float32) / np.float32(65535 if space == "cmyk" else 1)
        return np.nan_to_num(y, nan=0.0, posinf=1.0, neginf=0.0)

    return convert


def _is_srgb(convert):
    nodes = np.linspace(0, 1, 9, dtype=np.float32)
    probe = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(9, 81, 3)
    return np.abs(convert(probe) - probe).max() < 1 / 1024


def into_srgb(values):
    """Brings sRGB values [..., 3] beyond [0, 1] in, and leaves others as they are: float32 [..., 3] in [0, 1].

    In linear light, along the line to the grey of the same luminance, which keeps hue and luminance. Beyond [0, 1] the
    values follow LittleCMS: sRGB's linear piece below, its power above.
    """
    values = np.asarray(values, np.float32)
    outside = (values < 0).any(axis=-1) | (values > 1).any(axis=-1)
    if not outside.any():
        return values
    result = values.copy()
    result[outside] = _encode(_towards_grey(_decode(values[outside])))
    return result


def _towards_grey(linear):
    """Linear colours [n, 3] within [0, 1], of equal luminance where that is possible."""
    grey = np.clip(linear @ _LUMINANCE, 0, 1)[:, None]
    away = linear - grey
    room = np.where(away > 0, 1 - grey, grey)
    kept = np.min(room / np.maximum(np.abs(away), 1e-9), axis=1, keepdims=True)
    return np.clip(grey + np.minimum(kept, 1) * away, 0, 1)


def _decode(values):
    curved = np.power((np.maximum(values, 0.04045) + 0.055) / 1.055, 2.4)
    return np.where(values <= 0.04045, values / 12.92, curved).astype(np.float32)


def _encode(linear):
    curved = 1.055 * np.power(np.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curved).astype(np.float32)


def adobe_rgb_to_srgb(pixels):
    """Adobe RGB (1998) [H, W, 3] in [0, 1], of photos that say so in EXIF alone, to sRGB likewise."""
    out = np.empty_like(pixels)
    rows = max(1, BAND // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        linear = np.power(pixels[top : top + rows], np.float32(ADOBE_GAMMA)) @ ADOBE_RGB_TO_SRGB.T.astype(np.float32)
        curved = _encode(np.abs(linear))
        out[top : top + rows] = into_srgb(np.where(linear < 0, 12.92 * linear, curved))
    return out
