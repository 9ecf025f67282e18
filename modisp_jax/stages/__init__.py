"""The stages, one module each, and the table that lists those of photofinishing in order.

A photofinishing stage has three functions, and ``NEUTRAL``, the parameters that do not start at 0. ``init(image,
config)`` makes a parameter tree of the right shapes.
``predict(params, images, config)`` lets its network choose the coefficients from the images made so far.
``apply(coefficients, image, images)`` is the closed form that uses them, without any network.
"""

from types import ModuleType
from typing import NamedTuple

from modisp_jax.stages import chroma, gain, gamma, gtm, ltm, rgb_lut


class FinishStage(NamedTuple):
    """A row of the photofinishing table."""

    name: str
    """Key of its parameters, field of its strength in ``Edits``."""
    coefficients: str
    """Field of its coefficients in ``Look``."""
    output: str
    """Field of the image that it makes in ``FinishedStages``."""
    module: ModuleType
    """Where ``init``, ``predict`` and ``apply`` are."""


FINISH_STAGES = (
    FinishStage("gain", "gain", "gained", gain),
    FinishStage("gtm", "gtm", "global_tone", gtm),
    FinishStage("ltm", "ltm", "local_tone", ltm),
    FinishStage("rgb_lut", "rgb_lut", "rgb_lut", rgb_lut),
    FinishStage("chroma", "chroma_lut", "chroma", chroma),
    FinishStage("gamma", "inverse_gamma", "srgb", gamma),
)
