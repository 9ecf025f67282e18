"""The base denoiser that ships: NAFNet of width 8, 932,683 parameters, for unknown cameras.

    python3 dev.py run -m train configs/denoise_base.py --folder runs/denoise-base

About 67 minutes on one of two busy cores. Expect gains of 2.18, 2.22, 2.28 and 2.34 dB at ISO 50, 800, 3200 and 12800.
"""

from train.denoise import DenoiseExperiment
from train.loop import LoopConfig
from train.optim import OptimizerConfig

EXPERIMENT = DenoiseExperiment(
    name="denoise-base",
    size="base",
    first_speeds=1.0,
    crop=64,
    loop=LoopConfig(steps=5000, batch=8, validate_every=500),
    optim=OptimizerConfig(learning_rate=2e-3, beta2=0.99, clip_norm=1.0, warmup=200, ema=0.998),
)
