"""The lite denoiser that ships: NAFNet of width 4, 245,223 parameters, for unknown cameras.

python3 dev.py run -m train configs/denoise_lite.py --folder runs/denoise-lite

"""

from train.denoise import DenoiseExperiment
from train.loop import LoopConfig
from train.optim import OptimizerConfig

EXPERIMENT = DenoiseExperiment(
    name="denoise-lite",
    size="lite",
    first_speeds=1.0,
    crop=64,
    zoom=(1.0, 3.0),
    loop=LoopConfig(steps=4000, batch=8, validate_every=500),
    optim=OptimizerConfig(learning_rate=2e-3, beta2=0.99, clip_norm=1.0, warmup=200, ema=0.998),
)
