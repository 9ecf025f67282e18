"""Pairs of raw and sRGB, for all of ParamISP's training: a real camera's, or photos that imaginary ones take again."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import apply_matrix
from modisp_jax.numerics import safe_sqrt
from modisp_jax.ops.demosaic import demosaic_malvar, mosaic
from modisp_jax.unprocess import UnprocessConfig, at_speed, before_mosaic, draw_shot
from train.paramisp import cameras as imaginary


class Pair(NamedTuple):
    """A raw photo and the picture that a camera made of it."""

    mosaic: jax.Array
    """Bayer mosaic [H, W], RGGB, black 0 and white 1; noise goes below black."""
    srgb: jax.Array
    """The camera's picture [H, W, 3] in [0, 1]."""
    illuminant: jax.Array
    """Camera RGB of white, [3], green 1."""
    ccm: jax.Array
    """White-balanced camera RGB to linear sRGB, [3, 3], rows sum to 1."""
    capture: jax.Array
    """Exposure data [4] in the order of ``PARAMETERS``; NaN where unknown."""


SHOTS = UnprocessConfig(exposure=(1.0, 2.0), contrast=(0.0, 0.4))
"""Scenes are darker than ordinary training's: the imaginary cameras lift them by .6 to 1 EV."""


def draw_pair(key, srgb, cameras, which, shots=SHOTS):
    """A pair whose scene is that of an ordinary photo, taken by one of the imaginary cameras.

    The photo's camera is undone (``modisp_jax.unprocess``), the light falls on a sensor of another, with its noise at
    the ISO drawn; what that sensor saw is finished by ``train.paramisp.cameras.finish``.

    Args:
      key: a JAX random key.
      srgb: ordinary photo [H, W, 3] in [0, 1], sides even.
      cameras: ``modisp_jax.unprocess.Cameras`` whose colour and noise sensors have.
      which: static indices of the imaginary cameras to draw from.
      shots: an ``UnprocessConfig``; its ISO is not used.
    """
    shot_key, capture_key, camera_key, noise_key = jax.random.split(key, 4)
    capture = imaginary.draw_capture(capture_key)
    index = jnp.asarray(which)[jax.random.randint(camera_key, (), 0, len(which))]
    iso = capture[imaginary.PARAMETERS.index("iso")]
    shot = at_speed(draw_shot(shot_key, cameras, dataclasses.replace(shots, iso=(100.0, 100.0))), iso)
    return take_pair(noise_key, srgb, shot, imaginary.camera(index), capture)


def take_pair(key, srgb, shot, camera, capture):
    """The pair of one given ``Shot`` (light, sensor, exposure), imaginary camera and exposure data [4]."""
    sensor = mosaic(before_mosaic(srgb, shot))
    a, b = (mosaic(jnp.broadcast_to(level, srgb.shape)) for level in (shot.a, shot.b))
    # Below black, too, as a sensor's offset allows: clipped noise would lift the mean of black, of red and blue most.
    raw = jnp.minimum(sensor + safe_sqrt(a * sensor + b) * jax.random.normal(key, sensor.shape), 1.0)
    balanced = jnp.minimum(demosaic_malvar(raw, clip=False) / shot.illuminant, 1.0)  # clipped highlights are white
    srgb = imaginary.finish(apply_matrix(shot.ccm, balanced), camera, capture)
    return Pair(raw, srgb, shot.illuminant, shot.ccm, capture)


STEPS = 16383.0
"""Steps between black and white of the sensors behind imaginary cameras: 14 bits."""


def dequantized(key, pair, steps=STEPS):
    """The pair with Gaussian noise on both pictures that hides their steps: .4/255 and .4/steps. Facts 1.9."""
    keys = jax.random.split(key)
    srgb = pair.srgb + 0.4 / 255 * jax.random.normal(keys[0], pair.srgb.shape)
    return pair._replace(srgb=srgb, mosaic=pair.mosaic + 0.4 / steps * jax.random.normal(keys[1], pair.mosaic.shape))


def real_pair(sample):
    """The pair of a sample of ``train.paramisp.folder.PairFolder``, or of a part of it; arrays of NumPy or JAX."""
    mosaic, srgb = (sample[name].astype(np.float32) for name in ("mosaic", "srgb"))
    rest = (sample[name] for name in ("illuminant", "ccm", "capture"))
    return Pair(mosaic / np.float32(65535), srgb / np.float32(255), *rest)


def part_of(pair, box):
    """The part of a pair, or of a sample with ``mosaic`` and ``srgb``, that slices (rows, columns) cut out."""
    if isinstance(pair, Pair):
        return pair._replace(mosaic=pair.mosaic[box], srgb=pair.srgb[box])
    return pair | {name: np.asarray(pair[name][box]) for name in ("mosaic", "srgb")}


def middle_box(size, most):
    """Slices of the middle of a mosaic of ``size``: at even places, sides at most ``most``, multiples of 4."""
    sides = [min(n, most) // 4 * 4 for n in size]
    starts = [(n - side) // 4 * 2 for n, side in zip(size, sides, strict=True)]
    return tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))


def middle_of(srgb, size):
    """The middle of a photo uint8 [H, W, 3] as float32 in [0, 1]: sides at most ``size``, multiples of 4."""
    h, w = (min(n, size) // 4 * 4 for n in srgb.shape[:2])
    top, left = (srgb.shape[0] - h) // 2, (srgb.shape[1] - w) // 2
    return srgb[top : top + h, left : left + w].astype(np.float32) / np.float32(255)
