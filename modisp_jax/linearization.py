"""Finished photos as raw photos: what a style would have had to be given to render them.

A finished photo says little of the scene's light, but a renderer says how it finishes, and so what it would take to end
with that photo. ``linearize`` solves for that, takes the result for the picture of a made-up camera under daylight, and
returns a ``Raw`` that white balance, exposure and other styles treat like any other. docs/photos.md has the numbers.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.checkpoints import load_params
from modisp_jax.color import GENERIC_CAMERA, apply_matrix, srgb_decode, srgb_encode
from modisp_jax.config import ParamISPConfig, PipelineConfig, RenderConfig
from modisp_jax.io.dng_color import (
    D65,
    XYZ_D50_TO_SRGB,
    Calibration,
    CameraProfile,
    ccm_at,
    cct_tint_to_neutral,
    xyz_to_neutral,
)
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.photos import read_photo
from modisp_jax.nets.linearize import CieXyzNet
from modisp_jax.numerics import clip01, mix
from modisp_jax.ops.guided_upsample import guided_upsample
from modisp_jax.paramisp.capture import capture_of
from modisp_jax.paramisp.features import exposure_mask
from modisp_jax.paramisp.photos import photo_to_raw
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.params import check_network, config_of, param_shapes
from modisp_jax.pipeline import MIN_SIDE, render
from modisp_jax.tree import flatten
from modisp_jax.types import Edits, Raw, check_image
from modisp_jax.unprocess import scene_linear

METHODS = ("inverse", "curve", "paramisp", "cie_xyz")

DAYLIGHT = 6504.0
"""Temperature of D65 in K."""

PROFILE = CameraProfile(
    (Calibration(DAYLIGHT, GENERIC_CAMERA.astype(np.float64), illuminant_code=21),), source="generic camera"
)
"""The made-up camera of a finished photo: one colour matrix, much like measured ones."""

PUBLISHED_EXPOSURE, PUBLISHED_SCALE = 0.85, 0.7
"""What the published tool multiplies the finished photo by before its network, and XYZ after it."""

PUBLISHED_LIGHT = (5000.0, 0.0)
"""Temperature in K and tint of the light that the published tool takes the photo to be under."""

PUBLISHED_LONG_SIDE = 2000

WHITE = 0.95
"""Value of a photo's least channel from which ``paramisp`` takes a pixel for over-exposed; it is so wholly at 1."""


LIMITS = (
    ("iterations", 1, 100),
    ("coarse", 16, 65536),
    ("rate", 0.0, 2.0),
    ("exposure", 0.0, 8.0),
    ("contrast", 0.0, 1.0),
)


@dataclasses.dataclass(frozen=True)
class LinearizeConfig:
    """Static options of :func:`linearize`."""

    iterations: int = 6
    """Renderings of ``inverse``; each costs about a rendering without denoising. Half as many for large photos."""
    coarse: int = 1024
    """Long side in pixels at which ``inverse`` solves photos of more than twice that first."""
    rate: float = 0.7
    """Share of the difference to the photo, in sRGB values, that an iteration adds to the light, in sRGB values."""
    exposure: float = 0.9
    """EV by which midtones of the scene lie under the photo's: of ``curve``, and where ``inverse`` starts."""
    contrast: float = 0.3
    """Strength of the S-curve that is undone likewise, in [0, 1]."""
    enhance: bool = True
    """Undo what detail enhancement will do, too, where the parameters have one."""
    render: RenderConfig = RenderConfig()
    """How ``inverse`` renders."""
    published_size: bool = False
    """For ``cie_xyz``: enlarge photos whose long side is under 2000 pixels to that first, as the published reader does;
    bilinear, half-pixel centres."""
    paramisp: ParamISPConfig | None = None
    """For ``paramisp``: the configuration of the networks given, as :func:`modisp_jax.paramisp_file.load_paramisp`
    returns it. None: as their shapes say, in the paper's reading."""

    def __post_init__(self):
        for name, low, high in LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")


def linearize(srgb, *, method="inverse", params=None, metadata=None, profile=PROFILE, config=LinearizeConfig()):
    """Makes a raw photo of a finished one.

    ``inverse``, the default, looks for linear light x of which the renderer ``F`` makes the photo y, starting from
    ``curve``, with ``E`` the sRGB curve:

        E(x) <- E(x) + rate (y - F(x)),    keeping the x of the least mean |F(x) - y|^2.

    Large photos are solved small first; guided upsampling takes the light found to full size for a start.
    ``F`` is ``render`` with ``params``, without the denoiser: a finished photo has been denoised, and x could only undo
    that by noise. So render the result with ``Edits(denoise=0)``.
    ``curve`` is a fixed curve, :func:`modisp_jax.unprocess.scene_linear`, and needs no parameters.
    ``paramisp`` is ParamISP's inverse network, steered by what the metadata say of the exposure; unknown is fine.
    Over-exposed pixels, from ``WHITE`` up, fade to the level at which the channels saturate, wherever the network would
    have them.
    ``cie_xyz`` is the published way: ``raw = .7 n CCM^-1 S net(.85 y)`` with S from XYZ to linear sRGB, at 5000 K.

    Pure but for loading default parameters: works under ``jit``, ``vmap`` and ``grad``. Compiled once for each size.

    Args:
      srgb: finished photo [H, W, 3] in [0, 1] (clipped), sRGB values; at least 16 pixels a side.
      method: ``"inverse"``, ``"curve"``, ``"paramisp"`` or ``"cie_xyz"``.
      params: for ``inverse`` the parameter set that will render, with ``photofinish`` and perhaps ``enhance``; default:
        those of :func:`modisp_jax.load_params`. For ``paramisp`` a set with ``inverse_isp``; default: the networks that
        ship, which bring their configuration. For ``cie_xyz`` a set with ``io/cie_xyz`` (``mj.import_torch``).
      metadata: the photo's ``RawMetadata``, to be kept; its colour becomes that of ``profile``.
      profile: a ``CameraProfile`` with a colour matrix: of the camera that the raw shall seem to be of. It must see
        daylight greenest, as cameras do (``cie_xyz``: any).
      config: static :class:`LinearizeConfig`.

    Returns:
      A :class:`modisp_jax.Raw` under D65, whose channels saturate where the photo is white (``cie_xyz``: under 5000 K,
      saturation 1).

    Raises:
      ValueError: a photo of another shape, integers, an unknown method, parameters that are missing or of another
        network, or a profile that cannot be used.

    Reference: ``inverse`` and ``curve`` are ours; ``paramisp`` is arXiv 2312.13313, the treatment of white ours;
    ``cie_xyz`` is section I.11 of arXiv 2512.08564.
    """
    size = check_image(srgb, "srgb")
    if min(size) < MIN_SIDE:
        raise ValueError(f"srgb: expected at least {MIN_SIDE} pixels a side, got {size}")
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}")
    srgb = jnp.asarray(srgb, jnp.float32)
    if method == "cie_xyz":
        return _by_cie_xyz(srgb, params, metadata, profile, config)
    neutral = xyz_to_neutral(D65, profile)
    camera = _camera(profile, neutral)
    if method == "paramisp":
        return _finish(_by_paramisp(srgb, params, metadata, camera, config), neutral, metadata, profile)
    if method == "curve":
        linear = _curve(srgb, config)
    else:
        linear = _inverse(_finishing(params, config), srgb, camera, config)
    return _finish(_taken(linear, camera), neutral, metadata, profile)


def read_photo_as_raw(path, *, method="inverse", params=None, profile=PROFILE, config=LinearizeConfig()):
    """Reads a finished photo and makes a raw of it: :func:`linearize` of :func:`modisp_jax.read_photo`.

    Args:
      path: of a JPEG, PNG, TIFF, WebP, HEIF or AVIF.
      method, params, profile, config: see :func:`linearize`.

    Returns:
      A :class:`modisp_jax.Raw` with pixels as stored, not turned; its ``metadata`` has orientation, camera, exposure,
      date and format of the file. Render it with ``Edits(denoise=0)``.

    Raises:
      ValueError: a file that cannot be read as a picture, or as :func:`linearize`.
    """
    photo = read_photo(path)
    return linearize(photo.srgb, method=method, params=params, metadata=photo.metadata, profile=profile, config=config)


def _camera(profile, neutral):
    """A ``Raw`` without an image: light D65, colour matrix and saturation of the made-up camera."""
    if neutral.max() > 1 + 1e-6:  # white would lie above the raw's white level
        got = [round(value, 3) for value in neutral.tolist()]
        raise ValueError(f"profile: expected a camera whose largest value of daylight is green, got {got}")
    light = jnp.asarray(neutral, jnp.float32)
    return Raw(None, light, jnp.asarray(ccm_at(profile, neutral, cct=DAYLIGHT), jnp.float32), light)


def _finish(raw, neutral, metadata, profile):
    """The raw with metadata that say what its colours are."""
    metadata = RawMetadata(format="photo") if metadata is None else metadata
    own = {"size": raw.image.shape[:2], "neutral": tuple(neutral.tolist()), "color": profile}
    return dataclasses.replace(raw, metadata=dataclasses.replace(metadata, **own))


def _finishing(params, config):
    """What ``inverse`` renders with."""
    params = load_params() if params is None else params
    if config_of(params).photofinish is None:
        raise ValueError(f"params: inverse needs 'photofinish', got only {sorted(params)}")
    names = ("photofinish", "enhance") if config.enhance else ("photofinish",)
    return {name: params[name] for name in names if name in params}


def _inverse(params, srgb, camera, config):
    """Linear sRGB [H, W, 3] of which rendering makes ``srgb``, as nearly as it was found."""
    srgb, iterations = clip01(srgb), config.iterations
    if max(srgb.shape[:2]) > 2 * config.coarse:
        start, iterations = _start_small(params, srgb, camera, config), (iterations + 1) // 2
    else:
        start = _curve(srgb, config)
    state = start, start, jnp.asarray(jnp.inf, jnp.float32)

    def step(state):
        picture = render(params, _taken(state[0], camera), edits=Edits(), config=config.render)
        return _improve(state, picture, srgb, config)

    leaves = jax.tree.leaves((params, srgb))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):  # compiled once rather than for each iteration
        state, _ = jax.lax.scan(lambda state, _: (step(state), None), state, length=iterations)
    else:
        for _ in range(iterations):
            state = step(state)
    return state[1]


def _start_small(params, srgb, camera, config):
    """Linear sRGB [H, W, 3] by way of a smaller photo."""
    scale = config.coarse / max(srgb.shape[:2])
    size = [max(MIN_SIDE, round(n * scale)) for n in srgb.shape[:2]]
    small = clip01(jax.image.resize(srgb, (*size, 3), "linear", antialias=True, precision="highest"))
    return _upsampled(small, _inverse(params, small, camera, config), srgb)


_upsampled = jax.jit(guided_upsample)


@jax.jit
def _taken(linear, camera):
    """The camera's ``Raw`` of linear sRGB: ``clip01(diag(i) CCM^-1 x)``."""
    balanced = apply_matrix(jnp.linalg.inv(camera.ccm), linear)
    return dataclasses.replace(camera, image=clip01(balanced * camera.illuminant))


@functools.partial(jax.jit, static_argnames="config")
def _improve(state, picture, srgb, config):
    """(next light, best light, its mean squared error) from the picture that the light of ``state`` gives."""
    linear, best, least = state
    error = jnp.mean(jnp.square(picture - srgb))
    best, least = jnp.where(error < least, linear, best), jnp.minimum(error, least)
    return srgb_decode(srgb_encode(linear) + config.rate * (srgb - picture)), best, least


@functools.partial(jax.jit, static_argnames="config")
def _curve(srgb, config):
    return scene_linear(srgb, config.exposure, config.contrast)


def _by_paramisp(srgb, params, metadata, camera, config):
    network, reading = _inverse_network(params, config)
    capture = None if metadata is None else capture_of(metadata)
    srgb = clip01(srgb)
    image = photo_to_raw(network, srgb, camera.illuminant, camera.ccm, capture, pattern=None, config=reading)
    return dataclasses.replace(camera, image=_saturated(image, srgb, camera.saturation))


def _inverse_network(params, config):
    """(ParamISP's inverse network, its configuration) of a parameter set, or those that ship."""
    if params is None:
        params, reading = load_paramisp(networks=("inverse_isp",))
        return params["inverse_isp"], reading
    shape = config_of(params).inverse_isp
    if shape is None:
        raise ValueError(f"params: paramisp needs 'inverse_isp', got only {sorted(params)}")
    reading = shape if config.paramisp is None else config.paramisp
    own = {"inverse_isp": params["inverse_isp"]}
    expected = param_shapes(PipelineConfig(None, None, None, inverse_isp=reading))
    if {name: jnp.shape(leaf) for name, leaf in flatten(own).items()} != expected:
        raise ValueError(f"params: inverse_isp: expected a network of {reading}, got one of {shape}")
    return params["inverse_isp"], reading


@jax.jit
def _saturated(image, srgb, saturation):
    """Camera RGB that is saturated at least where the photo is white; before that it fades there."""
    white = jnp.min(exposure_mask(srgb, WHITE), axis=-1, keepdims=True)
    return mix(image, jnp.maximum(image, saturation), white)


def _by_cie_xyz(srgb, params, metadata, profile, config):
    networks = params.get("io", {}) if isinstance(params, dict) else {}
    if "cie_xyz" not in networks:
        got = sorted(params) if isinstance(params, dict) else type(params).__name__
        raise ValueError(f"params: cie_xyz needs a set with io/cie_xyz (see mj.import_torch), got {got}")
    check_network(networks["cie_xyz"], "io", PipelineConfig(None, None, None, io=("cie_xyz",)))
    longest = max(srgb.shape[:2])
    if config.published_size and longest < PUBLISHED_LONG_SIDE:
        size = [round(n * PUBLISHED_LONG_SIDE / longest) for n in srgb.shape[:2]]
        srgb = jax.image.resize(srgb, (*size, 3), "linear")
    neutral = cct_tint_to_neutral(*PUBLISHED_LIGHT, profile)
    # As published, the forward matrices' rows are not normalised, and their temperature is found anew.
    ccm = jnp.asarray(ccm_at(profile, neutral, normalize=False), jnp.float32)
    illuminant = jnp.asarray(neutral, jnp.float32)
    image = _published(networks["cie_xyz"], srgb, illuminant, ccm)
    return _finish(Raw(image, illuminant, ccm, jnp.ones(())), neutral, metadata, profile)


@jax.jit
def _published(network, srgb, illuminant, ccm):
    xyz = PUBLISHED_SCALE * CieXyzNet().apply({"params": network}, PUBLISHED_EXPOSURE * clip01(srgb))
    linear = apply_matrix(XYZ_D50_TO_SRGB.astype(np.float32), xyz)
    return clip01(apply_matrix(jnp.linalg.inv(ccm), linear) * illuminant)
