"""Does a finished picture lie on its raw photo? Turning, cropping and a look at both, for preparing and fitting."""

import contextlib

import numpy as np

from modisp_jax.io.images import apply_orientation, read_image
from modisp_jax.io.open_picture import open_picture
from modisp_jax.io.quiet import quiet
from modisp_jax.io.resize import resize_area

_INVERSE = {6: 8, 8: 6}  # EXIF's other orientations undo themselves
_ASPECT = 0.005  # relative; an export at 480 pixels rounds its short side by up to 0.2 %
_GRID = 32
_ALIKE, _BETTER = 0.3, 0.1


def read_turned(path, orientation):
    """Reads a finished picture and turns it as the raw photo of EXIF ``orientation`` lies on its sensor.

    The picture's own EXIF orientation (of JPEG, PNG, TIFF) is applied first, so it may be stored either way.

    Returns:
      float32 [H, W, 3] in [0, 1], and whether its pixels lie other than in the file.

    Raises:
      ValueError: not a picture, or one whose colour profile is not sRGB.
    """
    own, profile = _orientation_and_profile(path)
    if profile and "srgb" not in profile.lower():
        raise ValueError(f"{path}: expected sRGB, got the colour profile {profile!r}; convert it first")
    pixels = read_image(path)
    turned = apply_orientation(apply_orientation(pixels, own), _INVERSE.get(orientation, orientation))
    same = turned.shape == pixels.shape and turned.strides == pixels.strides and np.shares_memory(turned[0], pixels[0])
    return np.ascontiguousarray(turned), not same


def _orientation_and_profile(path):
    """EXIF orientation (1 where there is none) and description of the colour profile ("" likewise)."""
    import io

    from PIL import ImageCms

    code, icc = _orientation_and_icc(path)
    try:
        profile = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip() if icc else ""
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        profile = ""
    return int(code) if code in range(1, 9) else 1, profile


def _orientation_and_icc(path):
    """EXIF orientation and colour profile as the file has them, or (None, None): read_image says what is wrong."""
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        with contextlib.suppress(Exception), quiet("tifffile"), tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            return tuple(tags[tag].value if tag in tags else None for tag in (274, 34675))
    with contextlib.suppress(OSError, ValueError), open_picture(path, ValueError) as picture:
        return picture.getexif().get(274), picture.info.get("icc_profile")
    return None, None


def crop_box(raw, picture, default_crop, any_size=False):
    """Which part of a raw photo a picture shows: slices (rows, columns), or None where it fits nowhere.

    The whole, or DNG's ``default_crop`` (top, left, height, width). With ``any_size`` equal aspect ratios suffice.
    """
    boxes = [(0, 0, *raw)]
    if default_crop is not None:
        boxes.append(tuple(round(value) for value in default_crop))
    for top, left, height, width in boxes:
        ratio = (picture[0] * width) / (picture[1] * height)
        if (height, width) == tuple(picture) or (any_size and abs(ratio - 1) < _ASPECT):
            return slice(top, top + height), slice(left, left + width)
    return None


def check_same_scene(path, raw, picture, hint=""):
    """Raises ``ValueError`` where a picture looks mirrored, upside down, or like another photo than the raw.

    Both are reduced to 32 x 32 means of green, and compared by rank correlation, which no monotone tone curve changes.
    Flat pictures, of which nothing can be said, pass. ``hint`` is what the message says of how to take it all the same.
    """
    size = tuple(min(_GRID, n) for n in raw.shape[:2])
    first, second = (resize_area(np.asarray(x[..., 1:2], np.float32), size)[..., 0] for x in (raw, picture))
    if min(first.std(), second.std()) < 1e-3:
        return
    a = _ranks(first)
    flips = {"as it is": second, "mirrored": second[:, ::-1], "upside down": second[::-1], "turned": second[::-1, ::-1]}
    alike = {name: float(np.corrcoef(a, _ranks(b))[0, 1]) for name, b in flips.items()}
    own, best = alike["as it is"], max(alike, key=alike.get)
    if best != "as it is" and alike[best] > max(own + _BETTER, _ALIKE):
        raise ValueError(f"{path}: looks {best} against the raw photo (correlation {alike[best]:.2f}, not {own:.2f})")
    if own < _ALIKE:
        raise ValueError(f"{path}: does not look like its raw photo (rank correlation {own:.2f}{hint})")


def _ranks(x):
    return np.argsort(np.argsort(x, axis=None, kind="stable"), kind="stable").astype(np.float64)
