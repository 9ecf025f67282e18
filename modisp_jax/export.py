"""Ahead-of-time compilation: the pipeline for one size of photo as a file that needs no tracing."""

import jax
import jax.export
import jax.numpy as jnp

from modisp_jax.kernels import dispatch, xla
from modisp_jax.pipeline import render
from modisp_jax.types import Raw


def export_render(params, size, *, edits=None, config=None, platforms=None):
    """Exports :func:`modisp_jax.render` for photos of one size: StableHLO, with the edits and the configuration fixed.

    Args:
      params: the parameter set, or one of the same shapes: only these are recorded.
      size: (height, width) of the photos.
      edits, config: as for ``render``.
      platforms: what to export for, such as ``("cpu", "cuda")``; by default the backend that is in use.

    Returns:
      A ``jax.export.Exported`` whose ``call(params, image, illuminant, ccm, saturation)`` gives sRGB [H, W, 3]. Its
      ``serialize()`` gives bytes for ``jax.export.deserialize`` (both need the package flatbuffers: the extra
      ``export``). A process that runs it on a CPU imports ``modisp_jax.export`` first, which brings the kernels.

    Raises:
      ValueError: as ``render`` for such a photo.
    """
    specs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((*size, 3), (3,), (3, 3), (3,))]

    def run(params, image, illuminant, ccm, saturation):
        return render(params, Raw(image, illuminant, ccm, saturation), edits=edits, config=config)

    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), params)
    checks = [jax.export.DisabledSafetyCheck.custom_call(name) for name in xla.names()]
    export = lambda: jax.export.export(jax.jit(run), platforms=platforms, disabled_checks=checks)(like, *specs)  # noqa: E731
    if set(platforms or ()) <= {jax.default_backend()}:
        return export()
    jax.clear_caches()  # of what was traced for this backend alone
    with dispatch.for_every_platform():
        return export()
