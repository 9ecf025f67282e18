"""Raw files as JAX arrays: the step from ``io``, which knows files only, to ``Raw``, which knows JAX only."""

import jax.numpy as jnp
import numpy as np

from modisp_jax.io.load import load_mosaic, load_raw
from modisp_jax.io.saturation import estimate_saturation
from modisp_jax.ops.demosaic import demosaic_malvar
from modisp_jax.raw_jpeg import read_raw_of_jpeg
from modisp_jax.types import Raw

DEMOSAICING = ("libraw", "malvar")


def read_raw(path, *, demosaic="libraw"):
    """Reads a raw photo: any camera file that LibRaw decodes, a 16-bit PNG with JSON in the S24 layout, or a JPEG
    that carries a raw (:func:`modisp_jax.save_jpeg_with_raw`, or the published tool).

    Args:
      path: of the file.
      demosaic: ``"libraw"`` (LibRaw's own, the default) or ``"malvar"`` (Malvar, He and Cutler 2004, in JAX, for
        Bayer sensors).

    Returns:
      A :class:`modisp_jax.Raw` with pixels as the sensor stores them, not rotated; ``metadata`` says how to.

    Raises:
      ValueError: no such file, not a raw file, a damaged one, or one without a Bayer mosaic for ``"malvar"``.
    """
    if demosaic not in DEMOSAICING:
        raise ValueError(f"demosaic: expected one of {DEMOSAICING}, got {demosaic!r}")
    kept = read_raw_of_jpeg(path, demosaic=demosaic)
    if kept is not None:
        return kept.raw
    if demosaic == "libraw":
        file = load_raw(path)
        image = file.image
    else:
        file = load_mosaic(path)
        image = np.asarray(demosaic_malvar(file.values, pattern=file.pattern))
    illuminant, ccm = (jnp.asarray(x, jnp.float32) for x in (file.illuminant, file.ccm))
    return Raw(jnp.asarray(image), illuminant, ccm, jnp.asarray(estimate_saturation(image)), metadata=file.metadata)
