"""The optimiser, which the package has too, for fitting styles; here under the name that experiments know."""

from modisp_jax.fit.optim import OptimizerConfig, average, factors, move, optimizer, schedule

__all__ = ["OptimizerConfig", "average", "factors", "move", "optimizer", "schedule"]
