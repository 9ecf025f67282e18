"""Options of fitting a style, and which of them suit a number of pairs."""

import dataclasses

import numpy as np

from modisp_jax.fit.jobs import JobWeights
from modisp_jax.fit.optim import OptimizerConfig
from modisp_jax.fit.pairs import Augmentation
from modisp_jax.fit.unpaired import UnpairedConfig
from modisp_jax.losses import LossWeights


@dataclasses.dataclass(frozen=True)
class FitStyleConfig:
    """Static options of :func:`fit_style`."""

    size: tuple[int, int] = (96, 128)
    """Height and width in pixels at which pairs are compared, lying."""
    batch: int = 4
    """Pairs in a step."""
    shift_start: bool = True
    """Whether what all pairs have in common is put into the last layers before training, in closed form."""
    shift_by_all: bool = True
    """Whether that is fitted to the pairs kept for validation, too. Few pairs cannot do without any; but what has seen
    the pairs kept scores better than it is, and than what training finds. Without them training starts from the closed
    form of the others, and that of all comes out where no step was better."""
    towards_start: float = 1.0
    """What a squared distance of 1 of all trained parameters from where training starts costs in the loss, halved."""
    augmentation: Augmentation = Augmentation()
    """How pairs are varied."""
    curvature: float = 100.0
    """What a mean square bend of 1 of what changes the chroma map and the colour LUT costs, see ``FitLookConfig``."""
    losses: LossWeights = LossWeights(perceptual=0.0, luma=0.0, tone=1.0)
    """Weights of the losses on the picture."""
    jobs: JobWeights | None = None
    """Weights of penalties that hold the stages to their jobs, if any. The closed form knows none, and gives a global
    curve part of what is the gain's: training with them undoes that first, and a part of what it has won."""
    optim: OptimizerConfig = OptimizerConfig(learning_rate=3e-4, clip_norm=1.0, warmup=10, ema=0.95)
    """Optimiser."""
    validate_every: int = 25
    """Steps between validations; the last step is always validated."""
    patience: int = 6
    """Validations without a better score after which training stops."""
    unpaired: UnpairedConfig = UnpairedConfig()
    """What ordinary photos are used for, where there are some."""

    def __post_init__(self):
        size = tuple(self.size)
        object.__setattr__(self, "size", size)
        if len(size) != 2 or min(size) < 16 or size[0] > size[1]:
            raise ValueError(f"size: expected (height, width), lying, of at least 16 pixels, got {self.size}")
        for name in ("batch", "validate_every", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("towards_start", "curvature"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name}: expected a number from 0 on, got {getattr(self, name)}")


ENOUGH_KEPT = 5
"""Pairs kept for validation that can be trusted to choose a step."""


def fit_style_config(pairs, validation=0.2, **options):
    """The :class:`FitStyleConfig` for a number of pairs, of which the share ``validation`` is kept.

    Where at least five are kept, training is free: three times the rate, no penalty on the distance from the start, and
    a start that has not seen them. With fewer, nothing tells in time that training spoils what was found in closed
    form, which it can by dB: its rate is low, and it is drawn back to the start. ``options`` are fields besides.
    """
    config = FitStyleConfig()
    if count_kept(pairs, validation) >= ENOUGH_KEPT:
        free = dataclasses.replace(config.optim, learning_rate=1e-3)
        config = dataclasses.replace(config, shift_by_all=False, towards_start=0.0, optim=free)
    return dataclasses.replace(config, **options)


def count_kept(count, share):
    """How many of ``count`` pairs are kept for validation, where a share of them is to be: never all."""
    return max(min(round(count * share), count - 1), 0)
