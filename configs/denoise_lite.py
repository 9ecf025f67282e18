"""The lite denoiser that ships: NAFNet of width 4, 245,223 parameters, for unknown cameras.

    python3 dev.py run -m train configs/denoise_lite.py --folder runs/denoise-lite

About 35 minutes on one of two busy cores. Expect gains of 1.43, 1.49, 1.60 and 1.78 dB at ISO 50, 800, 3200 and 12800.
"""

from pathlib import Path

from train.denoise import DenoiseExperiment
from train.loop import LoopConfig
from train.optim import OptimizerConfig

EXPERIMENT = DenoiseExperiment(
    name="denoise-lite",
    size="lite",
    start=Path("runs/denoise-lite-noise/best.safetensors"),
    first_speeds=1.0,
    crop=64,
    loop=LoopConfig(steps=6000, batch=8, validate_every=500),
    optim=OptimizerConfig(learning_rate=2e-3, beta2=0.99, clip_norm=1.0, warmup=200, ema=0.998),
)
