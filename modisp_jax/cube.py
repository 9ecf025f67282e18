"""The part of a look that is one table of colours, for software that knows no local tone maps."""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.color import srgb_decode, srgb_encode
from modisp_jax.mix import STAGE_NAMES
from modisp_jax.numerics import clip, clip01, mix, safe_divide
from modisp_jax.stages import FINISH_STAGES, ltm
from modisp_jax.types import Look, as_float32, check_image

ENCODINGS = {"srgb": (srgb_encode, srgb_decode), "linear": (lambda x: x, lambda x: x)}
"""What a table's input is encoded by, and the way back, by name."""

SIZES = (2, 256)
"""Least and largest number of nodes a side, as .cube files have them."""

NEARNESS = 0.04
"""Standard deviation of the weights by which values of the scene count at a node, in the table's input."""

ELSEWHERE = 1e-4
"""Weight of all other values: it decides where the scene has none that are near."""

_CHUNK = 4096  # pixels whose curves are held at once


def global_lut(look, *, size=33, encoding="srgb", scene=None, local=True):
    """A look without its local part as a table of colours: gain, tone curve, 3D LUT, chroma map and power curve.

    The input to feed is what photofinishing sees, encoded: linear sRGB (BT.709 primaries, white D65), white-balanced,
    the sensor's white level at 1, clipped to [0, 1], no tone curve, then the sRGB curve. The output is finished sRGB.
    So the nodes are spaced about evenly to the eye; ``write_cube(path, table)`` makes a file of it.

    Local tone maps work on each channel by itself. In a table they can only be one curve, the same everywhere:

    - with ``scene``, the mean over the picture of what the maps make of a node's value v, weighted by how near a
      pixel's own channels are to v, ``sum_c exp(-(e(x_c) - e(v))^2 / (2 .04^2)) + 1e-4``, and kept from falling:
      maps go with luma, so the maps of shadows shall decide about shadows;
    - without, that of the mean coefficients;
    - left out with ``local=False``.

    Args:
      look: a :class:`modisp_jax.Look`.
      size: static, nodes a side, 2 to 256; 33 and 65 are usual.
      encoding: static, of the input: ``"srgb"``, or ``"linear"``, which has few nodes in the shadows.
      scene: linear sRGB [h, w, 3] in [0, 1] that the maps belong to, or None.
      local: static, whether the local tone maps count by their mean effect.

    Returns:
      [n, n, n, 3] in [0, 1]; R of the input along axis 0, G 1, B 2. The first and the last nodes are 0 and 1.

    Raises:
      ValueError: an unknown encoding, a size out of range, or a scene of another size than the maps.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding: expected one of {tuple(ENCODINGS)}, got {encoding!r}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size: expected {SIZES[0]} to {SIZES[1]} nodes, got {size}")
    if not isinstance(look, Look):
        raise ValueError(f"look: expected a modisp_jax.Look, got {type(look).__name__}")
    if scene is not None and check_image(scene, "scene") != look.ltm.shape[:2]:
        raise ValueError(f"scene: expected the size {look.ltm.shape[:2]} of look.ltm, got {jnp.shape(scene)[:2]}")
    return _global_lut(as_float32(look), None if scene is None else as_float32(scene), size, encoding, local)


@functools.partial(jax.jit, static_argnames=("size", "encoding", "local"))
def _global_lut(look, scene, size, encoding, local):
    encode, decode = ENCODINGS[encoding]
    encoded = jnp.linspace(0.0, 1.0, size)
    value = decode(encoded)
    images = {}
    strengths = [1.0] * len(STAGE_NAMES) if look.strengths is None else look.strengths
    strengths = dict(zip(STAGE_NAMES, strengths, strict=True))
    for stage in FINISH_STAGES[:2]:  # gain and global tone curve: on a node's value whatever its colour
        value = mix(value, stage.module.apply(getattr(look, stage.coefficients), value, images), strengths[stage.name])
        images[stage.output] = value
    if local:
        encoded_scene = None if scene is None else encode(scene)
        value = mix(
            value, _mean_effect(look.ltm.reshape(-1, 5), value, images, encoded, encoded_scene), strengths["ltm"]
        )
    value = clip01(value)
    table = jnp.stack(jnp.meshgrid(value, value, value, indexing="ij"), axis=-1).reshape(size * size, size, 3)
    for stage in FINISH_STAGES[3:]:
        coefficients = getattr(look, stage.coefficients)
        if coefficients is not None:
            table = mix(table, stage.module.apply(coefficients, table, images), strengths[stage.name])
    return table.reshape(size, size, size, 3)


def _mean_effect(maps, toned, images, encoded, scene):
    """What local tone maps [N, 5] make of the nodes' values [n], as one curve [n]."""

    def effect(maps):
        """Of each map on each value, [N, n]."""
        gained = images["gained"][:, None]
        return ltm.apply(maps[:, None, :], toned[:, None], {"gained": gained})[..., 0]

    if scene is None:
        return effect(jnp.mean(maps, axis=0, keepdims=True))[0]
    own = scene.reshape(-1, 3)
    padding = -len(own) % _CHUNK
    chunks = [jnp.pad(x, ((0, padding), (0, 0))).reshape(-1, _CHUNK, x.shape[1]) for x in (maps, own)]
    is_pixel = (jnp.arange(len(own) + padding) < len(own)).reshape(-1, _CHUNK, 1)

    def add(total, chunk):
        maps, own, is_pixel = chunk
        distance = (clip(own, 0.0, 1.0)[..., None] - encoded) / NEARNESS
        weight = jnp.where(is_pixel, jnp.exp(-0.5 * distance * distance).sum(axis=1) + ELSEWHERE, 0.0)
        return (total[0] + (weight * effect(maps)).sum(axis=0), total[1] + weight.sum(axis=0)), None

    zero = jnp.zeros_like(encoded)
    (total, weight), _ = jax.lax.scan(add, (zero, zero), (*chunks, is_pixel))
    return jax.lax.cummax(safe_divide(total, weight))
