"""Looks: the coefficients of photofinishing, predicted by networks or given, and their application.

Prediction and application are apart on purpose: editing, mixing, fitting and video smoothing all work on a Look.
"""

import functools

import jax
import jax.numpy as jnp

from modisp_jax.config import RenderConfig
from modisp_jax.mix import STAGE_NAMES, mean_of, strength_of
from modisp_jax.numerics import HUGE, clip, clip01, mix
from modisp_jax.params import photofinish_config
from modisp_jax.stages import FINISH_STAGES
from modisp_jax.stages.edits import edit_after
from modisp_jax.types import Edits, FinishedStages, Look, check_image, compiled_edits


def predict_look(params, linear_small, *, edits=None, config=None):
    """Lets the networks choose the coefficients for an image.

    Args:
      params: photofinishing's parameters, ``params["photofinish"]``.
      linear_small: linear sRGB [h, w, 3] in [0, 1], about a quarter of the photo's size, at least 4 x 4.
      edits: an :class:`modisp_jax.Edits`; a stage's strength changes what the later networks see.
      config: a :class:`modisp_jax.config.RenderConfig`; ``halo_fix`` refines the local tone maps.

    Returns:
      A :class:`modisp_jax.Look`.

    Reference: arXiv 2512.08564, section 2.3.
    """
    check_small(linear_small)
    return finish_by_networks(params, linear_small, edits or Edits(), config or RenderConfig())[0]


def apply_look(look, linear_small, *, edits=None, config=None):
    """Applies given coefficients in closed form, without networks.

    Args:
      look: a :class:`modisp_jax.Look` whose local tone maps have the image's size.
      linear_small: linear sRGB [h, w, 3] in [0, 1].
      edits: an :class:`modisp_jax.Edits`; of it the strengths of the photofinishing stages, and the sliders of tone
        and colour.
      config: a :class:`modisp_jax.config.RenderConfig`; of it ``operators``.

    Returns:
      The display-referred image [h, w, 3] in [0, 1]. With its gradients finite for every finite float in ``look``.

    Reference: arXiv 2512.08564, section 2.3.
    """
    size = check_small(linear_small)
    if look.ltm.shape != (*size, 5):
        raise ValueError(f"look.ltm: expected shape {(*size, 5)} for this image, got {look.ltm.shape}")
    operators = (config or RenderConfig()).operators
    return finish_by_look(look, linear_small, edits or Edits(), operators)[1].srgb


def check_small(linear_small):
    """Raises unless ``linear_small`` is an image that photofinishing takes; returns its size."""
    size = check_image(linear_small, "linear_small")
    if min(size) < 4:
        raise ValueError(f"linear_small: expected at least 4 pixels a side, got {size}")
    return size


def finish_by_networks(params, linear_small, edits, config):
    """Runs photofinishing on coefficients that its networks choose; returns (Look, FinishedStages).

    ``params`` are those of one style, or of a mix (:func:`modisp_jax.mix_styles`).
    """
    return _finish_by_networks(params, linear_small, compiled_edits(edits), config)


def finish_by_look(look, linear_small, edits, operators="smooth"):
    """Runs photofinishing on given coefficients; returns (Look, FinishedStages)."""
    return _finish_by_look(look, linear_small, compiled_edits(edits), operators)


@functools.partial(jax.jit, static_argnames="config")
def _finish_by_networks(params, linear_small, edits, config):
    mixed = "styles" in params
    styles = params["styles"] if mixed else [params]
    variants = [photofinish_config(style) for style in styles]

    def choose(stage, images):
        chosen = [
            predict_stage(stage, style, images, variant, config.halo_fix)
            for style, variant in zip(styles, variants, strict=True)
        ]
        return mean_of(chosen, params["weights"][stage.name]) if mixed else chosen[0]

    strengths = jnp.stack([strength_of(params["weights"][name]) for name in STAGE_NAMES]) if mixed else None
    return _fold(choose, linear_small, edits, strengths, config.operators)


@functools.partial(jax.jit, static_argnames="operators")
def _finish_by_look(look, linear_small, edits, operators):
    return _fold(
        lambda stage, images: getattr(look, stage.coefficients), linear_small, edits, look.strengths, operators
    )


def predict_stage(stage, style, images, variant, halo_fix=None):
    """The coefficients that a style's network chooses for a row of ``FINISH_STAGES``; None where it has no such stage.

    Args:
      stage: a ``FinishStage``.
      style: photofinishing's parameters of one style.
      images: the images made so far by their names in ``FinishedStages``, and ``linear_small``.
      variant: the style's ``PhotofinishConfig``.
      halo_fix: as in ``RenderConfig``.
    """
    if stage.name not in style:
        return None
    options = {"halo_fix": halo_fix} if stage.name == "ltm" else {}
    return stage.module.predict(style[stage.name], images, variant, **options)


def apply_stage(stage, coefficients, image, images, strength, edits, operators):
    """The image [h, w, 3] after a stage of ``FINISH_STAGES``, blended by its strength, and the edits that follow it."""
    # A gain can take values to the end of float32's range, where the sum of a strength's slopes overflows.
    after = clip(stage.module.apply(coefficients, image, images), -HUGE, HUGE)
    return edit_after(stage.name, mix(image, after, strength), edits, operators)


def _fold(choose, linear_small, edits, strengths, operators):
    """Runs the table of stages; ``choose(stage, images)`` gives a stage's coefficients, or None to leave it out."""
    images = {"linear_small": linear_small}
    coefficients = {}
    image = linear_small
    for number, stage in enumerate(FINISH_STAGES):
        chosen = choose(stage, images)
        coefficients[stage.coefficients] = chosen
        images[stage.output] = None
        if chosen is not None:
            strength = getattr(edits, stage.name) * (1.0 if strengths is None else clip01(strengths[number]))
            image = apply_stage(stage, chosen, image, images, strength, edits, operators)
            images[stage.output] = image
    del images["linear_small"]
    return Look(**coefficients, strengths=strengths), FinishedStages(**images)
