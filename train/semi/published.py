"""The paper's settings, tables 5 and 6 of SemiISP, as experiments to complete with one's own folders.

    dataclasses.replace(published_function(100), pairs=..., val_pairs=...)                       # phase 1
    dataclasses.replace(published_target(100, "lut3d"), teacher=..., unpaired=..., pairs=...)    # phase 2
    fine_tuning(phase_2, start=...)                                                              # phase 3

What the tables leave open (weight decay, decays of Adam) is optax's. In columns by the number of pairs: up to 100, up
to 1,000, more; and tasks that also remove noise, of fewer than 1,000.
"""

import dataclasses

from modisp_jax.config import FunctionISPConfig
from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.semi.task import SemiExperiment

SIZE = (480, 640)
NOISE = (0.01, 0.0002)

FUNCTION = {
    "100": (2e-5, 4, 15_000),
    "1000": (2e-5, 4, 15_000),
    "more": (1e-4, 16, 30_000),
    "denoise": (5e-5, 8, 70_000),
}
"""Table 5: learning rate, batch, iterations."""

TARGET = {"100": (2, 18, 1.0), "1000": (4, 16, 1.2), "more": (6, 14, 1.0), "denoise": (4, 16, 1.2)}
"""Table 6: real and pseudo-pairs in a batch, beta. Learning rate 1e-4, 40,000 iterations for all."""


def column(pairs, denoise):
    """The tables' column; raises ``ValueError`` for noise with a thousand pairs or more, which the paper lacks."""
    if pairs < 1:
        raise ValueError(f"pairs: expected at least 1, got {pairs}")
    if denoise and pairs >= 1000:
        raise ValueError(f"pairs: expected under 1000 with denoise, as the paper has it, got {pairs}")
    return "denoise" if denoise else "100" if pairs <= 100 else "1000" if pairs <= 1000 else "more"


def published_function(pairs, *, denoise=False, enhance=False):
    """Phase 1: the function ISP on this many pairs; ``enhance`` for pictures in place of raw photos."""
    rate, batch, steps = FUNCTION[column(pairs, denoise)]
    return SemiExperiment(
        isp=FunctionISPConfig(enhance=enhance),
        size=SIZE,
        crop=SIZE,
        loss="pyramid" if denoise else "mse",
        loop=LoopConfig(steps=steps, batch=batch, validate_every=1000, log_every=100),
        optim=_adamw(rate),
    )


def published_target(pairs, target, *, teacher, denoise=False, enhance=False):
    """Phase 2: ``target`` on this many pairs and any number of photos, with the weights of phase 1 for ``teacher``.

    With ``denoise`` the loss is equation 14 in place of the paper's MSE + SSIM, on parts of 128 pixels.
    """
    real, pseudo, beta = TARGET[column(pairs, denoise)]
    return SemiExperiment(
        name=target,
        target=target,
        isp=FunctionISPConfig(enhance=enhance),
        teacher=teacher,
        size=SIZE,
        crop=(128, 128) if denoise else SIZE,
        loss="pyramid" if denoise else "mse",
        pseudo=pseudo,
        beta=beta,
        by_function=pairs >= 1000,
        noise=NOISE if denoise else (0.0, 0.0),
        loop=LoopConfig(steps=40_000, batch=real + pseudo, validate_every=1000, log_every=100),
        optim=_adamw(1e-4),
    )


def fine_tuning(experiment, start):
    """Phase 3: an experiment of phase 2 on its pairs alone, for half as many steps, from the weights ``start``."""
    steps = experiment.loop.steps // 2
    loop = dataclasses.replace(experiment.loop, steps=steps, batch=experiment.loop.batch - experiment.pseudo)
    return dataclasses.replace(experiment, teacher=None, pseudo=0, start=start, loop=loop)


def _adamw(rate):
    return OptimizerConfig(learning_rate=rate, final_fraction=1e-3, weight_decay=1e-4)
