"""Raw photos made from finished ones: the way back through a camera that is drawn at random.

``unprocess`` undoes what a camera did to a photo (tone curve, exposure, colour matrix, white balance), then takes the
picture again: mosaic, noise, demosaicing. Training pairs come from it, seeded and jitted. The idea is that of
T. Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019; curves and distributions are ours.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import GENERIC_CAMERA, SRGB_TO_XYZ, apply_matrix, planckian_xyz, srgb_decode
from modisp_jax.noise import NoiseProfiles, add_noise, generic_noise, noise_level, read_noise_profiles, read_table
from modisp_jax.numerics import clip, clip01, power, safe_divide
from modisp_jax.ops.demosaic import demosaic_malvar, mosaic
from modisp_jax.types import Raw, check_image


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cameras:
    """The cameras that shots are drawn from: colour of ``n``, noise of ``m`` (they are drawn independently)."""

    from_xyz: jax.Array
    """XYZ to camera RGB, [n, 3, 3], any scale, as the ColorMatrix of DNG files."""
    noise: NoiseProfiles
    """Noise of the sensors."""


@dataclasses.dataclass(frozen=True)
class UnprocessConfig:
    """Ranges from which a shot is drawn, uniformly unless said otherwise."""

    exposure: tuple[float, float] = (0.3, 1.5)
    """How many EV the raw's midtones lie under the finished photo's."""
    contrast: tuple[float, float] = (0.0, 0.6)
    """Strength of the S-curve that the camera is taken to have applied, 0 none, 1 smoothstep."""
    cct: tuple[float, float] = (2600.0, 8000.0)
    """Colour temperature of the scene's light in kelvin; uniform in reciprocal temperature."""
    tint: tuple[float, float] = (-10.0, 10.0)
    """Distance of the light from the Planckian locus, in units of .0005 uv, positive greener."""
    iso: tuple[float, float] = (50.0, 12800.0)
    """Sensor speed; uniform in its logarithm."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            low, high = getattr(self, field.name)
            if not low <= high:
                raise ValueError(f"{field.name}: expected (low, high), got {(low, high)}")
        for name, (low, high) in (("cct", (1700.0, 15000.0)), ("iso", (50.0, 12800.0)), ("contrast", (0.0, 1.0))):
            got = getattr(self, name)
            if got[0] < low or got[1] > high:
                raise ValueError(f"{name}: expected a range within {(low, high)}, got {got}")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shot:
    """What is drawn for one photo: the camera, the light, and what the camera is taken to have done."""

    exposure: jax.Array
    """EV between the raw's midtones and the finished photo's, []."""
    contrast: jax.Array
    """Strength of the camera's S-curve, []."""
    illuminant: jax.Array
    """Camera RGB of white, [3], green 1."""
    ccm: jax.Array
    """White-balanced camera RGB to linear sRGB, [3, 3], rows sum to 1."""
    a: jax.Array
    """Noise variance per unit of signal, [3]."""
    b: jax.Array
    """Noise variance at black, [3]."""
    iso: jax.Array
    """Sensor speed, []."""


def generic_cameras():
    """One made-up camera's colour and three sensors' noise; use :func:`read_cameras` for measured ones."""
    return Cameras(jnp.asarray(GENERIC_CAMERA[None]), generic_noise())


def read_cameras(matrices, noise):
    """Reads the cameras to draw from.

    Args:
      matrices: tab-separated file with the columns ``camera, m00 .. m22``: XYZ (D65) to camera RGB.
      noise: tab-separated file of :func:`modisp_jax.noise.read_noise_profiles`.

    Raises:
      ValueError: a file that is missing or has no such columns, or a matrix that is singular.
    """
    names = [f"m{i}{j}" for i in range(3) for j in range(3)]
    rows = read_table(matrices, ["camera", *names])
    try:
        table = np.array([[float(row[name]) for name in names] for row in rows], np.float32).reshape(-1, 3, 3)
    except ValueError as error:
        raise ValueError(f"{matrices}: expected numbers: {error}") from None
    if not (np.abs(np.linalg.det(table)) > 1e-3).all():
        raise ValueError(f"{matrices}: expected invertible matrices")
    return Cameras(jnp.asarray(table), read_noise_profiles(noise))


def at_speed(shot, iso):
    """The same :class:`Shot` at another speed: ``a`` goes with the ISO, ``b`` with its square."""
    ratio = iso / shot.iso
    return dataclasses.replace(shot, iso=iso, a=shot.a * ratio, b=shot.b * ratio**2)


def draw_camera(key, cameras):
    """XYZ to camera RGB [3, 3] of the camera that :func:`draw_shot` draws with the same key; D65 has green 1."""
    return _blend_of_two(jax.random.uniform(key, (9,))[:3], cameras)


def _blend_of_two(uniform, cameras):
    count = len(cameras.from_xyz)
    first, second = (jnp.minimum((u * count).astype(jnp.int32), count - 1) for u in (uniform[0], uniform[1]))
    # Matrices of any scale become comparable when D65 white has green 1.
    white = SRGB_TO_XYZ.sum(axis=1)
    scaled = [m / jnp.dot(m[1], white) for m in (cameras.from_xyz[first], cameras.from_xyz[second])]
    return scaled[0] + uniform[2] * (scaled[1] - scaled[0])


def draw_shot(key, cameras, config=None):
    """Draws camera, light, exposure and noise: a :class:`Shot`.

    The colour matrix is a random blend of two cameras', so that a network cannot learn the list by heart.
    """
    config = UnprocessConfig() if config is None else config
    uniform = jax.random.uniform(key, (9,))

    def within(u, bounds):
        return bounds[0] + u * (bounds[1] - bounds[0])

    from_xyz = _blend_of_two(uniform[:3], cameras)
    cct = 1.0 / within(uniform[3], (1.0 / config.cct[0], 1.0 / config.cct[1]))
    illuminant = jnp.maximum(from_xyz @ planckian_xyz(cct, within(uniform[4], config.tint)), 0.05)
    from_srgb = from_xyz @ SRGB_TO_XYZ
    balanced_from_srgb = from_srgb / from_srgb.sum(axis=1, keepdims=True)
    iso = jnp.exp(within(uniform[5], np.log(config.iso)))
    sensors = len(cameras.noise.a)
    a, b = noise_level(cameras.noise, jnp.minimum((uniform[6] * sensors).astype(jnp.int32), sensors - 1), iso)
    return Shot(
        exposure=within(uniform[7], config.exposure),
        contrast=within(uniform[8], config.contrast),
        illuminant=illuminant / illuminant[1],
        ccm=jnp.linalg.inv(balanced_from_srgb),
        a=a,
        b=b,
        iso=iso,
    )


def scene_linear(srgb, exposure, contrast):
    """Undoes a camera's tone curve: finished sRGB [..., 3] to scene-linear light in [0, 1].

    ``y = srgb_decode((1 - s) v + s smoothstep^-1(v))``, then ``x = e y / (1 - (1 - e) y^3)`` with ``e = 2^-exposure``:
    midtones come down by the exposure while white stays white, the inverse of a camera's shoulder. Both are monotone
    and keep 0 and 1 (black to 5e-5, white to .01: the S-curve's slope at its ends is cut off).

    Args:
      srgb: [..., 3], clipped to [0, 1].
      exposure: EV, [], at least 0.
      contrast: s in [0, 1], [].
    """
    v = clip01(srgb)
    # asin has infinite slope at black and white.
    softened = 0.5 - jnp.sin(jnp.arcsin(clip(1.0 - 2.0 * v, -1.0 + 1e-6, 1.0 - 1e-6)) / 3.0)
    y = srgb_decode(v + contrast * (softened - v))
    e = jnp.exp2(-exposure)
    return clip01(safe_divide(e * y, 1.0 - (1.0 - e) * power(y, 3.0), 1e-6))


def to_camera(linear, illuminant, ccm):
    """Linear sRGB [..., 3] to camera RGB in [0, 1]: ``clip01(diag(i / i_G) CCM^-1 x)``; undoes ``to_linear_srgb``."""
    balanced = apply_matrix(jnp.linalg.inv(ccm), linear)
    return clip01(balanced * (illuminant / illuminant[1]))


def expose(key, camera_rgb, a, b):
    """Takes the picture: mosaic, noise, demosaicing (Malvar), at a Bayer phase drawn at random.

    Args:
      key: a JAX random key.
      camera_rgb: [H, W, 3] in [0, 1]; H and W even.
      a, b: noise variance per unit of signal and at black, [3].

    Returns:
      ``(noisy, clean)`` [H, W, 3]: the same mosaic demosaiced with and without noise. Their difference is noise alone;
      what demosaicing does to edges is in both.
    """
    noise_key, phase_key = jax.random.split(key)
    flips = jax.random.bernoulli(phase_key, shape=(2,))
    # Mirrored, an RGGB mosaic of even size is GRBG, GBRG or BGGR.
    mirror = lambda x: _flip_if(_flip_if(x, flips[0], 0), flips[1], 1)  # noqa: E731
    clean = mosaic(mirror(camera_rgb))
    planes = [mosaic(jnp.broadcast_to(level, camera_rgb.shape)) for level in (a, b)]
    noisy = add_noise(noise_key, clean, *planes)
    return mirror(demosaic_malvar(noisy)), mirror(demosaic_malvar(clean))


def _flip_if(x, flip, axis):
    return jnp.where(flip, jnp.flip(x, axis), x)


def unprocess(key, srgb, cameras, config=None):
    """Makes a raw photo from a finished one, with a camera, light, exposure and noise drawn at random.

    Args:
      key: a JAX random key; the same key gives the same raw.
      srgb: finished photo [H, W, 3] in [0, 1]; H and W even.
      cameras: a :class:`Cameras` to draw from.
      config: an :class:`UnprocessConfig`.

    Returns:
      ``(raw, clean)``: a :class:`modisp_jax.Raw`, noisy, and its image without noise [H, W, 3]. The target of
      denoising is ``clean``, that of photofinishing ``srgb``.

    Raises:
      ValueError: for an image that is not floating-point [H, W, 3] of even size.
    """
    _, raw, clean = draw_and_take(key, srgb, cameras, config)
    return raw, clean


def draw_and_take(key, srgb, cameras, config=None):
    """The same as :func:`unprocess`, with what was drawn: ``(shot, raw, clean)``."""
    shot_key, exposure_key = jax.random.split(key)
    shot = draw_shot(shot_key, cameras, config)
    return shot, *take_shot(exposure_key, srgb, shot)


def take_shot(key, srgb, shot):
    """The raw photo of one given :class:`Shot`: what :func:`unprocess` does once it has drawn; same results."""
    h, w = check_image(srgb, "srgb")
    if h % 2 or w % 2:
        raise ValueError(f"srgb: expected an even height and width, for the mosaic's phases, got {(h, w)}")
    noisy, clean = expose(key, before_mosaic(srgb, shot), shot.a, shot.b)
    return Raw(noisy, shot.illuminant, shot.ccm), clean


def before_mosaic(srgb, shot):
    """Camera RGB [H, W, 3] that falls on the sensor for a finished photo [H, W, 3]: no mosaic, no noise."""
    return to_camera(scene_linear(srgb, shot.exposure, shot.contrast), shot.illuminant, shot.ccm)
