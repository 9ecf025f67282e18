"""Detail enhancement for the style "moody", behind the lite denoiser and its photofinishing; starts from natural's.

    python3 dev.py run -m train configs/enhance_moody.py --folder runs/enhance-moody

About 6 minutes on one of two busy cores. Expect a gain of 0.25 dB (32.00 to 32.25).
"""

from pathlib import Path

from train.enhance import EnhanceExperiment
from train.loop import LoopConfig
from train.optim import OptimizerConfig

EXPERIMENT = EnhanceExperiment(
    name="enhance-moody",
    style="moody",
    denoiser=Path("runs/denoise-lite/best.safetensors"),
    photofinish=Path("runs/moody/best.safetensors"),
    start=Path("runs/enhance-natural/best.safetensors"),
    size=(448, 640),
    crop=64,
    loop=LoopConfig(steps=300, batch=8, validate_every=100, log_every=10),
    optim=OptimizerConfig(learning_rate=1e-3, clip_norm=1.0, warmup=10, ema=0.98),
)
