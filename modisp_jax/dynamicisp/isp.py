"""The function ISP: raw to sRGB by four closed forms, and exactly back. SemiISP, sections 3.1 and 3.2.

f = contrast o gamma o gain o colour correction (o inverse tone mapping, for enhancement)
"""

import jax
import jax.numpy as jnp

from modisp_jax.color import apply_matrix
from modisp_jax.config import FUNCTION_ISP
from modisp_jax.dynamicisp import functions as f
from modisp_jax.dynamicisp.parameters import at_pixels, from_flat
from modisp_jax.nets.function_isp import FunctionNet
from modisp_jax.numerics import clip01
from modisp_jax.types import check_image


def predict_functions(params, image, *, config=FUNCTION_ISP, local=False):
    """The parameters that the network chooses for an image. ``P = DNN(Resize(I))``, equation 1.

    Args:
      params: of the network, ``params["function_isp"]``.
      image: [H, W, 3] in [0, 1]: linear camera or sRGB values, CIE XYZ, or a picture to enhance, as trained.
      config: static :class:`modisp_jax.config.FunctionISPConfig`.
      local: static; parameters for each part of the image, [resize / 32, resize / 32, 3, 3], in place of one set.

    Returns:
      :class:`FunctionParameters`.

    Raises:
      ValueError: an image that is not floating-point [H, W, 3].
    """
    check_image(image, "image")
    side = config.resize
    small = jax.image.resize(image, (side, side, 3), "linear", antialias=True, precision="highest")
    return from_flat(FunctionNet(config).apply({"params": params}, small, local))


def apply_functions(parameters, image, *, config=FUNCTION_ISP):
    """Renders an image: colour correction, gain, gamma curve, contrast; before them inverse tone mapping, if any.

    Args:
      parameters: :class:`FunctionParameters`, for all of the image or a grid over it.
      image: [H, W, 3]; values are clipped to [0, 1] ahead of the curves alone.
      config: static; its ``window`` counts.

    Returns:
      sRGB [H, W, 3] in [0, 1].
    """
    p = at_pixels(parameters, image.shape[:2])
    if p.tone is not None:
        image = f.tone_lift(image, *_rows(p.tone))
    image = apply_matrix(p.color, image)
    image = f.window(image, *_rows(p.gain), reading=config.window)
    image = f.gamma_curve(image, *_rows(p.gamma))
    return clip01(f.window(image, *_rows(p.contrast), reading=config.window))


def invert_functions(parameters, image, *, config=FUNCTION_ISP, steps=f.STEPS):
    """Takes a rendered image back: the inverse of each function of :func:`apply_functions`, in reverse order.

    Args:
      parameters: :class:`FunctionParameters` within ``nets.function_isp.RANGES``.
      image: sRGB [H, W, 3] in [0, 1].
      config: static; its ``window`` counts.
      steps: static number of Newton steps.

    Returns:
      [H, W, 3] in [0, 1]; within 1e-5 of what was rendered, where nothing was clipped on the way. With inverse tone
      mapping, which all but removes the darkest differences, float32 is off by up to .01.
    """
    p = at_pixels(parameters, image.shape[:2])
    image = f.inverse_window(image, *_rows(p.contrast), reading=config.window)
    image = f.inverse_gamma_curve(image, *_rows(p.gamma), steps=steps)
    image = f.inverse_window(image, *_rows(p.gain), reading=config.window)
    image = apply_matrix(f.inverse_matrix(p.color), image)
    if p.tone is not None:
        image = f.inverse_tone_lift(image, *_rows(p.tone), steps=steps)
    return clip01(image)


def render_functions(params, image, *, config=FUNCTION_ISP, local=True):
    """The function ISP with its network: [H, W, 3] to sRGB [H, W, 3]. See :func:`predict_functions`."""
    return apply_functions(predict_functions(params, image, config=config, local=local), image, config=config)


def render_both(params, image, *, config=FUNCTION_ISP):
    """The same with local and with global control: training needs both, to finish photos and to fill the memory."""
    return [render_functions(params, image, config=config, local=local) for local in (True, False)]


def _rows(parameters):
    """Three parameters, each [..., 3]."""
    return tuple(jnp.moveaxis(parameters, -2, 0))
