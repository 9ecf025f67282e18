"""The pytrees that cross the public edge, with shapes, units and ranges.

All are frozen dataclasses registered with JAX, so that they pass through ``jit``, ``vmap`` and ``grad`` whole.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


def _pytree(cls):
    """Freezes a dataclass and registers every field as data."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Raw:
    """A demosaiced raw photo and what is needed to give it colour.

    ``metadata`` stays on the host. It is no part of the pytree: a ``Raw`` that went through ``jit``, ``vmap`` or
    ``tree.map`` comes back with ``metadata=None``, so metadata can neither force a recompilation nor go stale.
    """

    image: jax.Array
    """Camera RGB, [H, W, 3], black level removed, white level at 1, in [0, 1]."""
    illuminant: jax.Array
    """Camera RGB of a white surface under the scene's light, [3], any scale, positive."""
    ccm: jax.Array
    """Colour matrix, [3, 3]: white-balanced camera RGB to linear sRGB; rows sum to 1 for a neutral white."""
    saturation: Any = 1.0
    """Values of ``image`` at which the sensor's channels saturate, [] or [3], in (0, 1]; often below white level."""
    metadata: Any = None
    """What the file says of itself (``io.raw.RawMetadata``) or None."""

    def tree_flatten_with_keys(self):
        key = jax.tree_util.GetAttrKey
        names = ("image", "illuminant", "ccm", "saturation")
        return tuple((key(name), getattr(self, name)) for name in names), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        del aux
        return cls(*children)


@_pytree
class Look:
    """The coefficients of photofinishing: all that the networks decide about a picture.

    ``h`` and ``w`` are the size of the small (quarter) image.
    """

    gain: jax.Array
    """Digital gain, [], predicted within [0.25, 4]."""
    gtm: jax.Array
    """Global tone curve (a, b, c), [3], nonnegative; (1, 1, 1) is the identity."""
    ltm: jax.Array
    """Local tone maps (w, a, b, c, g), [h, w, 5]; w is the logit of the blend, g a gain before the curve."""
    chroma_lut: jax.Array
    """Chroma map, [24, 24, 2]: new (Cb, Cr) at nodes of [-.5, .5]; Cb along axis 0, Cr along axis 1."""
    inverse_gamma: jax.Array
    """Exponent of the final power curve, [], predicted within [1/3, 1/1.2]."""
    rgb_lut: jax.Array | None = None
    """Optional colour map, [11, 11, 11, 3]: new RGB at nodes of [0, 1]; R along axis 0, G 1, B 2."""
    strengths: jax.Array | None = None
    """How much of each stage's output is blended with its input, [6] in [0, 1], in the order of ``FINISH_STAGES``
    (gain, gtm, ltm, rgb_lut, chroma, gamma); None: all of it. Mixing styles switches stages off by it."""


@_pytree
class Edits:
    """A person's settings, in order of computation. The defaults change nothing of what the networks decide.

    Strengths blend a stage's output with its input: 0 leaves the stage out, 1 is the stage as predicted. Sliders are
    neutral at 0. All but ``crop`` may be traced, so that moving a slider does not recompile. Paper section I; which
    formulas the sliders stand for is up to ``RenderConfig.operators``.
    """

    exposure: Any = 0.0
    """Manual exposure in EV, clipped to [-4, 4]: the raw is multiplied by 2^EV before denoising."""
    denoise: Any = 1.0
    """Denoising strength in [0, 1]."""
    auto_exposure: Any = 0.0
    """Strength of automatic exposure in [0, 1]: share of the EV that it finds."""
    luma_denoise: Any = 0.0
    """Strength of classical luma denoising in [0, 1]."""
    chroma_denoise: Any = 0.0
    """Strength of classical chroma denoising in [0, 1]."""
    gain: Any = 1.0
    """Strength of the digital gain in [0, 1]."""
    gtm: Any = 1.0
    """Strength of the global tone curve in [0, 1]."""
    ltm: Any = 1.0
    """Strength of the local tone maps in [0, 1]."""
    contrast: Any = 0.0
    """Contrast in [-1, 1]."""
    highlights: Any = 0.0
    """Bright tones in [-1, 1], positive brighter."""
    shadows: Any = 0.0
    """Dark tones in [-1, 1], positive brighter."""
    rgb_lut: Any = 1.0
    """Strength of the 3D LUT in [0, 1], where the look has one."""
    chroma: Any = 1.0
    """Strength of the chroma map in [0, 1]."""
    gamma: Any = 1.0
    """Strength of the final power curve in [0, 1]."""
    vibrance: Any = 0.0
    """Saturation of muted colours in [-1, 1]."""
    saturation: Any = 0.0
    """Saturation in [-1, 1]; -1 is grey."""
    enhance: Any = 1.0
    """Strength of detail enhancement in [0, 1]."""
    sharpening: Any = 0.0
    """Sharpening in [0, 50]."""
    rotation: Any = 0.0
    """Rotation about the centre in degrees, clockwise, in [-45, 45]; the picture keeps its size and is enlarged until
    no corner is empty."""
    crop: tuple[float, float, float, float] | None = dataclasses.field(default=None, metadata={"static": True})
    """(top, left, height, width) of what is kept, as fractions of the picture's sides, or None. Static, as it decides
    the picture's size."""


@_pytree
class FinishedStages:
    """Photofinishing's images at small size, each [h, w, 3], in order of computation."""

    gained: jax.Array
    """After the digital gain, quasi-linear, not clipped."""
    global_tone: jax.Array
    """After the global tone curve, in [0, 1]."""
    local_tone: jax.Array
    """After the local tone maps and the edits contrast, highlights and shadows, in [0, 1]."""
    rgb_lut: jax.Array | None
    """After the 3D LUT, in [0, 1], or None."""
    chroma: jax.Array
    """After the chroma map, in [0, 1]."""
    srgb: jax.Array
    """After the power curve and the edits vibrance and saturation: the small display-referred image, in [0, 1]."""


@_pytree
class Stages:
    """Every intermediate of :func:`modisp_jax.render_stages`, in order of computation.

    ``H`` and ``W`` are the photo's size, ``h`` and ``w`` that of the small image.
    """

    exposed: jax.Array
    """Raw after manual exposure, [H, W, 3]."""
    denoised: jax.Array
    """Raw after denoising and its strength, [H, W, 3], not clipped."""
    linear: jax.Array
    """Linear sRGB after white balance, colour matrix and what edits do to it (automatic exposure, classical
    denoising), [H, W, 3], in [0, 1]."""
    auto_exposure: jax.Array
    """EV that automatic exposure added, []; 0 where it is off."""
    linear_small: jax.Array
    """The same at about a quarter of the size, [h, w, 3]."""
    look: Look
    """The coefficients that photofinishing used."""
    finished: FinishedStages
    """Photofinishing's images at small size."""
    upsampled: jax.Array
    """After guided upsampling, [H, W, 3], in [0, 1]."""
    enhanced: jax.Array
    """After detail enhancement, [H, W, 3], in [0, 1]."""
    srgb: jax.Array
    """The finished picture after the edits sharpening, rotation and crop, [H', W', 3], in [0, 1]."""


def as_float32(tree):
    """Python numbers and arrays alike as float32 arrays: a weakly typed 1.0 would be compiled for separately."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


SLIDER_GROUPS = (
    ("auto_exposure", "luma_denoise", "chroma_denoise"),
    ("contrast", "highlights", "shadows", "vibrance", "saturation"),
    ("sharpening", "rotation"),
)
"""Sliders of ``Edits`` whose operators are compiled together: linear picture, small picture, finished picture."""


def compiled_edits(edits):
    """The edits as a program takes them: float32 arrays, without the crop, None for groups of sliders all at 0.

    What is None is not compiled. Sliders that are traced always are, and one that leaves 0 brings its whole group, so
    that there are two programs at most for each.
    """
    idle = [name for group in SLIDER_GROUPS if all(_is_zero(getattr(edits, name)) for name in group) for name in group]
    return as_float32(dataclasses.replace(edits, crop=None, **dict.fromkeys(idle)))


def _is_zero(value):
    return value is None or (not isinstance(value, jax.core.Tracer) and jnp.ndim(value) == 0 and float(value) == 0.0)


def check_image(x, name, channels=3):
    """Raises ``ValueError`` unless ``x`` is a floating-point [H, W, channels] array; returns (H, W)."""
    shape, dtype = jnp.shape(x), jnp.result_type(x)
    if len(shape) != 3 or shape[-1] != channels or 0 in shape:
        raise ValueError(f"{name}: expected an image [H, W, {channels}], got shape {shape}")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name}: expected floating-point values in [0, 1], got dtype {dtype}")
    return shape[:2]
