"""Photos with the blur of a moving camera, made in the raw's linear light: pairs for training deblurring.

As in RSBlur (J. Rim et al., "Realistic blur synthesis for learning image deblurring", ECCV 2022): light is summed
before the sensor samples it, adds noise and saturates, and before the camera finishes the picture.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.numerics import safe_sqrt
from modisp_jax.ops.demosaic import mosaic
from modisp_jax.paramisp.applications import in_raw_space, saturate
from modisp_jax.paramisp.isp import PAPER
from modisp_jax.resample import reflect_index
from modisp_jax.types import as_float32

CLIPPED = 1.0 - 0.5 / 255
"""sRGB values from here on are white once rounded to 8 bits."""


def synthesize_blur(
    key,
    params,
    srgb,
    illuminant,
    ccm,
    capture=None,
    *,
    length,
    angle=0.0,
    noise=None,
    highlights=1.0,
    size=None,
    pattern="RGGB",
    config=PAPER,
):
    """A photo as if the camera had moved, and the sharp one to learn from.

        blurred = F(min(m + sqrt(a m + b) N, n)),  m = mosaic(k * h I(srgb));    sharp = F(min(mosaic(I(srgb)), n))

    with the line k, light h on what is white, normal N, and the light n, green 1, at which the sensor saturates.

    Args:
      key: a JAX random key, for the noise.
      params, srgb, illuminant, ccm, capture, pattern, config: see :func:`modisp_jax.paramisp.in_raw_space`.
      length: of the line in pixels; up to 1 there is no blur.
      angle: of the line in degrees from the right, counter-clockwise.
      noise: (a, b), variance per unit of signal and at black, as :func:`draw_noise` gives; None draws them.
      highlights: h, by how much the light of white pixels, which are clipped, exceeds what the photo shows: how
        bright their streaks are.
      size: static odd side of the line's kernel; needed where ``length`` is traced.

    Returns:
      ``(blurred, sharp)``, sRGB [H, W, 3] in [0, 1] each.

    Raises:
      ValueError: as :func:`modisp_jax.paramisp.in_raw_space` does, or a size that is even or too small.
    """
    kernel = motion_kernel(length, angle, size)
    level_key, noise_key = jax.random.split(key)
    shot, read = draw_noise(level_key) if noise is None else as_float32(tuple(noise))
    values = as_float32((illuminant, highlights))

    def process(camera):
        light = jnp.asarray(srgb, jnp.float32), *values
        taken = _take(noise_key, camera, kernel, shot, read, *light, pattern=pattern)
        return taken, saturate(camera, illuminant)

    options = {"space": "camera", "pattern": pattern, "config": config}
    return in_raw_space(process, params, srgb, illuminant, ccm, capture, **options)


@functools.partial(jax.jit, static_argnames="pattern")
def _take(key, camera, kernel, shot, read, srgb, illuminant, highlights, *, pattern):
    """The mosaic [H, W] that a sensor takes of light ``camera`` [H, W, 3] that moves along a line."""
    white = srgb.min(axis=-1, keepdims=True) >= CLIPPED  # not a blue sky, of which one channel is clipped
    light = blur_image(jnp.where(white, highlights * camera, camera), kernel)
    values = mosaic(light, pattern=pattern)
    # Noise goes below black, as a sensor's offset allows: clipped, it would lift the mean of black.
    values = values + safe_sqrt(shot * values + read) * jax.random.normal(key, values.shape)
    return saturate(values, illuminant, pattern=pattern)


def draw_noise(key):
    """Draws a sensor's noise: (a, b), a value x in [0, 1] having the variance ``a x + b``.

    ``ln a ~ U(ln 1e-4, ln .012)``, ``ln b = 2.18 ln a + 1.20 + N(0, .26)``. Source: T. Brooks et al., "Unprocessing
    images for learned raw denoising", CVPR 2019, after the Darmstadt Noise Dataset; facts 1.11.
    """
    uniform, normal = jax.random.split(key)
    low, high = math.log(1e-4), math.log(0.012)
    log_shot = low + (high - low) * jax.random.uniform(uniform)
    log_read = 2.18 * log_shot + 1.20 + 0.26 * jax.random.normal(normal)
    return jnp.exp(log_shot), jnp.exp(log_read)


def motion_kernel(length, angle=0.0, size=None):
    """A line of a length and direction as a filter that sums to 1, [K, K].

    ``max(0, 1 - d)`` of each pixel's distance d to the line's middle part, of ``length - 1`` pixels; then normalised.
    An odd length along an axis is so many equal pixels; up to a length of 1 only the one in the middle is left.

    Args:
      length: in pixels, [] >= 0; may be traced where ``size`` is given.
      angle: in degrees from the right, counter-clockwise (y points down in images), [].
      size: static odd K; by default as small as holds the line, whatever its angle.

    Raises:
      ValueError: an even size, one that does not hold the line, or a traced length without a size.
    """
    if isinstance(length, jax.core.Tracer):
        if size is None:
            raise ValueError("size: expected the side of the kernel where length is traced, got None")
    else:
        least = 2 * math.ceil(max(float(length) - 1.0, 0.0) / 2) + 1
        size = least if size is None else size
        if size < least:
            raise ValueError(f"size: expected at least {least} for a line of {float(length):g} pixels, got {size}")
    if size % 2 == 0:
        raise ValueError(f"size: expected an odd number, got {size}")
    return _line(*as_float32((length, angle)), size=size)


@functools.partial(jax.jit, static_argnames="size")
def _line(length, angle, *, size):
    half, turn = 0.5 * jnp.maximum(length - 1.0, 0.0), jnp.deg2rad(angle)
    dx, dy = jnp.cos(turn), -jnp.sin(turn)
    y, x = (n.astype(np.float32) for n in np.mgrid[:size, :size] - size // 2)
    along = jnp.clip(x * dx + y * dy, -half, half)
    distance = safe_sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2)
    weights = jnp.maximum(1.0 - distance, 0.0)
    return weights / weights.sum()


@jax.jit
def blur_image(image, kernel):
    """Convolves each channel of an image [H, W, C] with a kernel [K, K], K odd; the border is mirrored.

    By Fourier transforms, one channel after the other: as dear for long lines as for short ones, and exact to about
    1e-7 of the largest values.
    """
    size, radius = image.shape[:2], kernel.shape[0] // 2
    full = tuple(_fast_length(n + 2 * radius) for n in size)
    for axis in (0, 1):
        index = reflect_index(size[axis], radius, full[axis] - size[axis] - radius)
        image = jnp.take(image, index, axis=axis, mode="clip")
    spectrum = jnp.fft.rfft2(kernel, full)

    def convolve(plane):  # circular, but around the middle what comes around stays out
        return jnp.fft.irfft2(jnp.fft.rfft2(plane) * spectrum, full)[2 * radius :, 2 * radius :][: size[0], : size[1]]

    return jnp.moveaxis(jax.lax.map(convolve, jnp.moveaxis(image, -1, 0)), 0, -1)


def _fast_length(n):
    """The least length from n on that has no prime factors but 2, 3 and 5, and is even."""
    n += n % 2
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 2
