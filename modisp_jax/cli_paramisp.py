"""The commands of ParamISP, ``modisp unrender``, ``hdr``, ``transfer`` and ``blur``; nothing heavy is imported before
they run."""

import dataclasses
import fractions
import math
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from modisp_jax.cli_options import FORMATS, Slider

Networks = Annotated[str, arg(metavar="FILE")]
Output = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")]


@dataclasses.dataclass(frozen=True)
class CameraOptions:
    """The camera whose raw is made, and how the photo was exposed."""

    like: Annotated[Path | None, arg(metavar="RAWFILE", help_behavior_hint="")] = None
    """Raw file of that camera, under such light, whose white, colour matrices and Bayer pattern are taken; by default
    a made-up camera in daylight."""
    pattern: Annotated[Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None, arg(help_behavior_hint="")] = None
    """Bayer pattern. Default: that of --like, else RGGB."""
    exposure_time: Annotated[str | None, arg(metavar="SECONDS", help_behavior_hint="")] = None
    """Exposure time, such as 1/125. Default, here and below: as the photo's EXIF says, else unknown."""
    f_number: Slider = None
    """Focal length over the aperture's diameter."""
    iso: Slider = None
    """Sensor speed."""
    focal_length: Slider = None
    """Focal length in millimetres."""


@dataclasses.dataclass(frozen=True)
class PictureOptions:
    """How pictures are stored."""

    format: Literal["jpg", "png", "tiff"] = "jpg"
    """File format where the output names none."""
    quality: int = 95
    """JPEG quality, 1 to 100."""
    bits: Literal[8, 16] | None = None
    """Bits a channel; default 8, for TIFF 16."""


def unrender(
    photos: Positional[tuple[Path, ...]],
    /,
    *,
    output: Output = None,
    overwrite: bool = False,
    networks: Networks = "paramisp",
    bits: Literal[14, 16] = 14,
    camera: Annotated[CameraOptions, arg(name="")] = CameraOptions(),
) -> int:
    """Turn finished photos into raw files (DNG), by ParamISP's inverse network.

    Args:
        photos: Finished photos: JPEG, PNG, TIFF, WebP, AVIF, HEIF.
        output: File to write, NAME.dng, or a folder for one or many. Default: beside each photo.
        overwrite: Replace existing files whose names were derived from the photos'.
        networks: Parameter file with an inverse network; by default the one that ships.
        bits: Bits of a raw value.
        camera: The camera whose raw is made.
    """
    options = _options(photos, output, overwrite, camera, suffix=".dng")
    from modisp_jax import paramisp_commands

    return paramisp_commands.unrender(photos, options, networks=networks, bits=bits)


def hdr(
    photos: Positional[tuple[Path, ...]],
    /,
    *,
    output: Output = None,
    overwrite: bool = False,
    networks: Networks = "paramisp",
    gains: Annotated[tuple[float, ...], arg(metavar="NUMBER")] = (0.1, 1.4, 2.7, 4.0),
    camera: Annotated[CameraOptions, arg(name="")] = CameraOptions(),
    pictures: Annotated[PictureOptions, arg(name="")] = PictureOptions(),
) -> int:
    """Show more of a photo's range: expose its raw several times, finish each, and fuse the pictures (by OpenCV).

    Args:
        photos: Finished photos: JPEG, PNG, TIFF, WebP, AVIF, HEIF.
        output: Picture to write (.jpg, .png, .tif), or a folder. Default: NAME_hdr.jpg beside each photo.
        overwrite: Replace existing pictures whose names were derived from the photos'.
        networks: Parameter file with both networks; by default those that ship.
        gains: Exposures, times the photo's.
        camera: The camera whose raw is made.
        pictures: How pictures are stored.
    """
    options = _options(photos, output, overwrite, camera, pictures)
    if not gains or not all(math.isfinite(gain) and gain > 0 for gain in gains):
        raise ValueError(f"--gains: expected positive numbers, got {gains}")
    from modisp_jax import paramisp_commands

    return paramisp_commands.hdr(photos, options, networks=networks, gains=gains)


def transfer(
    photos: Positional[tuple[Path, ...]],
    /,
    *,
    source: Annotated[str, arg(name="from", metavar="FILE")],
    target: Annotated[str, arg(name="to", metavar="FILE")],
    output: Output = None,
    overwrite: bool = False,
    camera: Annotated[CameraOptions, arg(name="")] = CameraOptions(),
    pictures: Annotated[PictureOptions, arg(name="")] = PictureOptions(),
) -> int:
    """Finish photos as another camera would have: by the inverse network of one and the forward network of the other.

    Args:
        photos: Finished photos of the one camera: JPEG, PNG, TIFF, WebP, AVIF, HEIF.
        source: Parameter file with its inverse network; "paramisp" is what ships.
        target: Parameter file with the forward network of the other.
        output: Picture to write (.jpg, .png, .tif), or a folder. Default: NAME_transfer.jpg beside each photo.
        overwrite: Replace existing pictures whose names were derived from the photos'.
        camera: The camera that the photos are of; its white balance and colour matrix are kept.
        pictures: How pictures are stored.
    """
    options = _options(photos, output, overwrite, camera, pictures)
    from modisp_jax import paramisp_commands

    return paramisp_commands.transfer_photos(photos, options, source=source, target=target)


def blur(
    photos: Positional[tuple[Path, ...]],
    /,
    *,
    length: float,
    angle: float = 0.0,
    output: Output = None,
    overwrite: bool = False,
    noise: Annotated[tuple[float, float] | None, arg(metavar="SHOT READ", help_behavior_hint="")] = None,
    highlights: float = 1.0,
    sharp: bool = False,
    seed: int = 0,
    networks: Networks = "paramisp",
    camera: Annotated[CameraOptions, arg(name="")] = CameraOptions(),
    pictures: Annotated[PictureOptions, arg(name="")] = PictureOptions(),
) -> int:
    """Blur photos as a moving camera does, in their raw's linear light, with a sensor's noise.

    Args:
        photos: Finished photos: JPEG, PNG, TIFF, WebP, AVIF, HEIF.
        length: Of the movement in pixels; up to 1 there is none.
        angle: Of the movement in the upright picture, in degrees from the right, counter-clockwise.
        output: Picture to write (.jpg, .png, .tif), or a folder. Default: NAME_blur.jpg beside each photo.
        overwrite: Replace existing pictures whose names were derived from the photos'.
        noise: Variance of the raw's noise per unit of signal, and at black; 0 0 for none. Default: drawn at random.
        highlights: How many times brighter white pixels, which are clipped, were than the photo shows.
        sharp: Also write the sharp picture, finished likewise, as NAME_sharp.
        seed: Of the noise.
        networks: Parameter file with both networks; by default those that ship.
        camera: The camera whose raw is made.
        pictures: How pictures are stored.
    """
    options = _options(photos, output, overwrite, camera, pictures)
    if not 0 <= length <= 1000:
        raise ValueError(f"--length: expected 0 to 1000, got {length}")
    if not math.isfinite(angle):
        raise ValueError(f"--angle: expected a number of degrees, got {angle}")
    if noise is not None and not all(0 <= level <= 1 for level in noise):
        raise ValueError(f"--noise: expected two numbers from 0 to 1, got {noise}")
    if not 1 <= highlights <= 1000:
        raise ValueError(f"--highlights: expected 1 to 1000, got {highlights}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed: expected 0 to {2**32 - 1}, got {seed}")
    from modisp_jax import paramisp_commands

    how = {"length": length, "angle": angle, "noise": noise, "highlights": highlights, "seed": seed, "sharp": sharp}
    return paramisp_commands.blur(photos, options, networks=networks, **how)


def _options(photos, output, overwrite, camera, pictures=PictureOptions(), suffix=None):
    """What the commands have in common, checked, as they take it."""
    if not photos:
        raise ValueError("expected at least one photo")
    if output is not None and len(photos) > 1 and output.suffix and not output.is_dir():
        raise ValueError(f"--output: expected a folder for {len(photos)} photos, got the file name {output}")
    if not 1 <= pictures.quality <= 100:
        raise ValueError(f"--quality: expected 1 to 100, got {pictures.quality}")
    exposure = _exposure(camera)
    from modisp_jax.paramisp_commands import Options

    return Options(
        output=output,
        suffix=suffix or FORMATS[pictures.format],
        overwrite=overwrite,
        like=camera.like,
        pattern=camera.pattern,
        exposure=exposure,
        quality=pictures.quality,
        bits=pictures.bits,
    )


def _exposure(camera):
    """The exposure data that were given, by name."""
    given = {name: getattr(camera, name) for name in ("exposure_time", "f_number", "iso", "focal_length")}
    found = {}
    for name, value in given.items():
        if value is None:
            continue
        try:
            found[name] = float(fractions.Fraction(value))
        except (ValueError, ZeroDivisionError, OverflowError):
            found[name] = math.nan
        if not 0 < found[name] < math.inf:
            raise ValueError(f"--{name.replace('_', '-')}: expected a positive number, got {value}")
    return found
