"""Groups of options that commands share, as dataclasses that tyro reads; nothing heavy is imported."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from modisp_jax.config import EDIT_RANGES

Slider = Annotated[float | None, arg(metavar="NUMBER", help_behavior_hint="")]
"""None where it was not given: what the style's file says counts then, or the photo, else neutral."""


@dataclasses.dataclass(frozen=True)
class EditOptions:
    """A person's edits; what is not given is neutral, or as the style's file has it."""

    exposure: Slider = None
    """Manual exposure in EV, -4 to 4."""
    auto_exposure: Slider = None
    """Automatic exposure, 0 to 1: share of the EV that it finds."""
    luma_denoise: Slider = None
    """Classical luma denoising, 0 to 1."""
    chroma_denoise: Slider = None
    """Classical chroma denoising, 0 to 1."""
    contrast: Slider = None
    """Contrast, -1 to 1."""
    highlights: Slider = None
    """Bright tones, -1 to 1, positive brighter."""
    shadows: Slider = None
    """Dark tones, -1 to 1, positive brighter."""
    vibrance: Slider = None
    """Saturation of muted colours, -1 to 1."""
    saturation: Slider = None
    """Saturation, -1 (grey) to 1."""
    sharpening: Slider = None
    """Sharpening, 0 to 50."""
    rotation: Slider = None
    """Rotation of the upright picture in degrees, clockwise, -45 to 45; enlarged so that no corner is empty."""
    crop: Annotated[
        tuple[float, float, float, float] | None, arg(metavar="TOP LEFT HEIGHT WIDTH", help_behavior_hint="")
    ] = None
    """What to keep of the upright picture, as fractions of its sides, after the rotation."""


@dataclasses.dataclass(frozen=True)
class StrengthOptions:
    """Strengths of the stages: 0 leaves a stage out, 1 is the stage as the networks decide."""

    denoise: Slider = None
    """Denoising."""
    gain: Slider = None
    """Digital gain."""
    gtm: Slider = None
    """Global tone curve."""
    ltm: Slider = None
    """Local tone maps."""
    rgb_lut: Slider = None
    """Colour LUT, where the style has one."""
    chroma: Slider = None
    """Chroma map."""
    gamma: Slider = None
    """Power curve at the end."""
    enhance: Slider = None
    """Detail enhancement."""


@dataclasses.dataclass(frozen=True)
class WhiteBalanceOptions:
    """The light that is made white."""

    white_balance: Annotated[
        Literal["as-shot", "auto", "cross-camera", "preferred"] | None, arg(help_behavior_hint="")
    ] = None
    """As the camera chose, estimated from the photo, or by the networks of --awb: the light, or that which people
    prefer. Default: as shot; of a picture that carries its raw, as it was made."""
    awb: Annotated[Path | None, arg(metavar="FILE")] = None
    """Parameter file with white-balance networks."""
    cct: Annotated[float | None, arg(metavar="KELVIN", help_behavior_hint="")] = None
    """Colour temperature of the light, 1800 to 10000; the matrix follows it."""
    tint: Slider = None
    """Tint of the light, -100 to 100, positive greener: the picture becomes more magenta."""
    illuminant: Annotated[tuple[float, float, float] | None, arg(metavar="R G B", help_behavior_hint="")] = None
    """The light as the camera's RGB of something grey, any scale, instead of all these."""


@dataclasses.dataclass(frozen=True)
class RenderingOptions:
    """How photos are rendered and stored; each photo by itself."""

    format: Literal["jpg", "png", "tiff"] = "jpg"
    """File format where the output names none."""
    params: Annotated[str, arg(metavar="NAME|FILE")] = "default"
    """Parameter set: default, lite or base (the denoiser), neutral (untrained), or a parameter file."""
    style: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """Style: natural, vivid, warm, moody, mono, a parameter file, a style file (.json), or a mix such as
    vivid=0.7,mono=0.3, with weights of single stages vivid=0.7:chroma=0.2,mono=0.3; all renders a picture in each."""
    operators: Literal["smooth", "published"] = "smooth"
    """What the edits do: our operators, or the published ones."""
    clipped_highlights: Literal["neutral", "clip"] = "neutral"
    """Make clipped highlights neutral, or clip as published."""
    halo_fix: bool = False
    """Refine the local tone maps against halos (slower)."""
    halo_iterations: int = 160
    """Iterations of the halo fix."""
    activations: Literal["float32", "bfloat16"] = "float32"
    """How denoiser and enhancement store images on the way; bfloat16 takes half the memory."""
    demosaic: Literal["libraw", "malvar"] = "libraw"
    """Demosaicing by LibRaw, or by Malvar, He and Cutler in JAX (Bayer only)."""
    quality: int = 95
    """JPEG quality, 1 to 100."""
    bits: Literal[8, 16] | None = None
    """Bits a channel; default 8, for TIFF 16."""
    orientation: Literal["apply", "keep"] = "apply"
    """Rotate the pixels upright, or keep them as stored with the orientation tag."""
    save_stages: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Also write every intermediate image and the look's coefficients into this folder."""
    embed_raw: bool = False
    """Write JPEGs that carry their raw, and can be rendered again from it."""
    raw_codec: Literal["curve", "lossless", "adapter"] = "curve"
    """How they carry it: as a JPEG through a curve fitted to the photo, bit for bit, or by the published network."""
    raw_quality: int = 97
    """Quality of the raw in them, 1 to 100; lossless has none."""
    linearize: Literal["inverse", "curve", "paramisp", "cie_xyz"] = "inverse"
    """How finished photos become raw ones: by the light of which the default style makes them, by a fixed curve, by
    ParamISP's inverse network, or by the published network."""
    networks: Annotated[Path | None, arg(metavar="FILE")] = None
    """Parameter file with the networks of --raw-codec adapter and --linearize cie_xyz; of --linearize paramisp, others
    than those that ship."""
    stored_settings: bool = True
    """Render a picture that carries its raw with the settings it was made with, where no others are given."""


FORMATS = {"jpg": ".jpg", "png": ".png", "tiff": ".tif"}
"""Extensions of the formats."""

LIGHT_RANGES = {"cct": (1800.0, 10000.0), "tint": (-100.0, 100.0)}


def check_light(light):
    """Raises ``ValueError`` unless temperature and tint, where given, are what the sliders have; likewise the light."""
    if light.illuminant is not None:
        if not all(math.isfinite(value) and value > 0 for value in light.illuminant):
            raise ValueError(f"--illuminant: expected three positive numbers, got {light.illuminant}")
        if (light.white_balance, light.cct, light.tint) != (None, None, None):
            raise ValueError("--illuminant: expected no --white-balance, --cct or --tint beside it")
    for name, (low, high) in LIGHT_RANGES.items():
        value = getattr(light, name)
        if value is not None and not low <= value <= high:
            raise ValueError(f"--{name}: expected {low:g} to {high:g}, got {value}")


def given_edits(edits, strengths):
    """The edits that were given, as a dict with the names of ``Edits``; checks their ranges."""
    given = {}
    for options, prefix in ((edits, "--"), (strengths, "--strength.")):
        for name, value in dataclasses.asdict(options).items():
            if value is None:
                continue
            if name != "crop":
                low, high = EDIT_RANGES[name]
                if not low <= value <= high:
                    raise ValueError(f"{prefix}{name.replace('_', '-')}: expected {low:g} to {high:g}, got {value}")
            given[name] = value
    return given
