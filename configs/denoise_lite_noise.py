"""First part of the lite denoiser: noise alone, from the highest speeds down; `denoise_lite` goes on from it.

    python3 dev.py run -m train configs/denoise_lite_noise.py --folder runs/denoise-lite-noise

About 30 minutes on one of two busy cores. Expect gains of -0.92, 0.10, 0.33 and 0.43 dB at ISO 50, 800, 3200 and 12800.
"""

from train.denoise import DenoiseExperiment
from train.loop import LoopConfig
from train.optim import OptimizerConfig

EXPERIMENT = DenoiseExperiment(
    name="denoise-lite-noise",
    size="lite",
    target="clean",
    crop=64,
    loop=LoopConfig(steps=4000, batch=8, validate_every=500),
    optim=OptimizerConfig(learning_rate=2e-3, beta2=0.99, clip_norm=1.0, warmup=100, ema=0.998),
)
